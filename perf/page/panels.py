"""Which plots a result has, and what is in each; nothing here knows how to draw.

Where servers are measured beside each other a case has its own plots, one row for each
server. Where only one row was measured, the cases are the rows.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from perf.compare import Change, Comparison
from perf.report import Grid, figure, grids, heading, signed_percent
from perf.results import Better, Metric, Result, Timeline
from perf.stats import Spread, middle

Kind = Literal["figures", "quantiles", "ratios", "changes"]
Role = Literal["subject", "peer", "better", "worse", "same"]
# One distribution: p50_us, p99_us, max_us; the unit is the last word.
_QUANTILE = re.compile(r"^(?:p\d+|max|mean)_(?P<unit>[a-z]+)$")


@dataclass(frozen=True, slots=True)
class Mark:
    """A median, its range, and the rounds that they come from."""

    name: str
    spread: Spread
    points: Sequence[float]


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    text: str
    role: Role
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot; ``hint`` says how to read it."""

    kind: Kind
    title: str
    hint: str
    rows: Sequence[Row]

    def description(self) -> str:
        """The same in words."""
        return ". ".join(f"{row.label}: {row.text}" for row in self.rows)


@dataclass(frozen=True, slots=True)
class Block:
    """Plots and the tables below them."""

    title: str
    panels: Sequence[Panel]
    grids: Sequence[Grid]
    timelines: Mapping[str, Timeline] = field(default_factory=dict)
    """By the title of each."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one row of a panel is about."""

    label: str
    case: str
    server: str
    role: Role


def blocks(result: Result) -> list[Block]:
    """One for each case where it has several rows, else one for all cases."""
    tables = grids(result)
    if not any(len(result.servers(case)) > 1 for case in result.cases()):
        lines = [
            Line(case, case, server, _verdict_role(result, case, server))
            for case in result.cases()
            for server in result.servers(case)
        ]
        over_time = {
            f"{case}: {title}": timeline
            for case in result.cases()
            for title, timeline in timelines(result, case).items()
        }
        return [Block("", [*_figure_panels(result, lines)], tables, over_time)]
    return [
        Block(
            case,
            [
                *_ratio_panels(result, case),
                *_figure_panels(result, _lines(result, case)),
            ],
            [table],
            timelines(result, case),
        )
        for case, table in zip(result.cases(), tables, strict=True)
    ]


def timelines(result: Result, case: str) -> dict[str, Timeline]:
    """Of the first round; the others look like it."""
    mine = [s for s in result.samples if s.case == case and s.timelines]
    first = min((sample.round for sample in mine), default=0)
    return {
        f"{sample.server}: {timeline.title}": timeline
        for sample in mine
        if sample.round == first
        for timeline in sample.timelines
    }


def _lines(result: Result, case: str) -> list[Line]:
    return [
        Line(server, case, server, "subject" if server == result.subject else "peer")
        for server in result.servers(case)
    ]


def _verdict_role(result: Result, case: str, server: str) -> Role:
    return "worse" if result.passed(case, server) is False else "subject"


def plotted(result: Result) -> list[Metric]:
    """Circumstances are left to the tables, unless there is nothing else."""
    judged = [metric for metric in result.metrics if metric.better is not None]
    return judged or list(result.metrics)


def _figure_panels(result: Result, lines: Sequence[Line]) -> Iterator[Panel]:
    for unit, group in groupby(plotted(result), key=_distribution):
        metrics = list(group)
        if unit is not None and len(metrics) > 1:
            yield _quantile_panel(result, metrics, lines)
            continue
        for metric in metrics:
            rows = [_row(result, metric, line) for line in lines]
            present = [row for row in rows if row is not None]
            if present:
                yield Panel("figures", heading(metric), hint(metric.better), present)


def _distribution(metric: Metric) -> str | None:
    found = _QUANTILE.match(metric.key)
    return found["unit"] if found else None


def _mark(result: Result, metric: Metric, line: Line) -> Mark | None:
    found = result.spread(line.case, line.server, metric.key)
    if found is None:
        return None
    points = result.rounds(line.case, line.server, metric.key)
    return Mark(metric.title, found, list(points.values()))


def _row(result: Result, metric: Metric, line: Line) -> Row | None:
    mark = _mark(result, metric, line)
    if mark is None:
        return None
    return Row(line.label, one_line(mark.spread, metric.digits), line.role, [mark])


def _quantile_panel(
    result: Result, metrics: Sequence[Metric], lines: Sequence[Line]
) -> Panel:
    rows = []
    for line in lines:
        marks = [_mark(result, metric, line) for metric in metrics]
        found = [mark for mark in marks if mark is not None]
        texts = [
            f"{mark.spread.median:,.{metric.digits}f}"
            for metric, mark in zip(metrics, marks, strict=True)
            if mark is not None
        ]
        if found:
            rows.append(Row(line.label, " · ".join(texts), line.role, found))
    unit = f" [{metrics[0].unit}]" if metrics[0].unit else ""
    title = f"{', '.join(metric.title for metric in metrics)}{unit}"
    return Panel("quantiles", title, hint(metrics[0].better), rows)


def _ratio_panels(result: Result, case: str) -> Iterator[Panel]:
    for metric in result.metrics:
        if not metric.ratio:
            continue
        rows = []
        for server in result.servers(case):
            points = result.ratios(case, server, metric.key)
            found = result.ratio(case, server, metric.key)
            if server != result.subject and found is not None:
                role = beside_one(middle(points), metric.better)
                mark = Mark("ratio", found, points)
                rows.append(Row(f"÷ {server}", one_line(found, 2), role, [mark]))
        if rows:
            title = f"{result.subject} ÷ peer: {metric.title}"
            yield Panel("ratios", title, ratio_hint(result, metric), rows)


def ratio_hint(result: Result, metric: Metric) -> str:
    if metric.better is None:
        return "1 is equal"
    side = "left" if metric.better == "lower" else "right"
    return f"{side} of 1: {result.subject} is better"


def beside_one(ratio: Spread, better: Better | None) -> Role:
    """Better or worse only when the whole range is on one side of 1."""
    if better is None or ratio.minimum <= 1.0 <= ratio.maximum:
        return "same"
    return "better" if (ratio.maximum < 1.0) == (better == "lower") else "worse"


def hint(better: Better | None) -> str:
    return f"{better} is better" if better else ""


def one_line(found: Spread, digits: int) -> str:
    median, _, limits = figure(found, digits).partition("\n")
    return f"{median} ({limits})" if limits else median


def comparison_panel(found: Comparison) -> Panel | None:
    """What was judged, in percent of the old median."""
    rows = [row for row in map(_change_row, found.changes) if row is not None]
    if not rows:
        return None
    return Panel("changes", "Change [%]", "hollow: old, filled: new", rows)


def _change_row(change: Change) -> Row | None:
    old, new = change.old_ratio or change.old, change.new_ratio or change.new
    if not old.median:
        return None
    percent = signed_percent(change.ratio_percent() or change.percent())
    label = f"{change.metric.title} · {change.case}"  # the end may be clipped
    marks = [
        _percent_mark("old", old, old.median),
        _percent_mark("new", new, old.median),
    ]
    return Row(label, f"{percent}, {change.outcome}", change.outcome, marks)


def _percent_mark(name: str, found: Spread, base: float) -> Mark:
    ends = [100.0 * (v / base - 1.0) for v in (found.minimum, found.maximum)]
    median = 100.0 * (found.median / base - 1.0)
    return Mark(name, Spread(min(ends), median, max(ends)), [])
