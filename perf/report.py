"""Turns a result into tables of text, and those into Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from perf.compare import Change, Compared, Comparison, Outcome
from perf.machine import Machine
from perf.record import Record
from perf.results import Metric, Result
from perf.stats import Spread

RATIO_DIGITS = 3
OUTCOMES: Sequence[Outcome] = ("worse", "better", "same")


def machine_lines(machine: Machine) -> list[str]:
    pinned = "pinned" if machine.congestion_pinned else "the machine's default"
    cores = ",".join(map(str, machine.server_cpus))
    versions = ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    load = "not pinned" if machine.load_cpu is None else f"on cpu {machine.load_cpu}"
    network = (
        f"server on cpu {cores}, load {load} · "
        f"congestion control {machine.congestion_control} ({pinned})"
    )
    return [
        f"{machine.taken_at} · {machine.cpu_model} × {machine.cpus} · "
        f"{machine.memory_bytes / 2**30:.1f} GiB · {machine.kernel}",
        f"{network if machine.congestion_control else f'on cpu {cores}'} · {versions}",
    ]


@dataclass(frozen=True, slots=True)
class Grid:
    """One table, before it is drawn."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    """How many columns at the start are words, not figures."""
    texts: int = 1
    """The same at the end."""

    def is_figures(self, column: int) -> bool:
        return self.names <= column < len(self.headings) - self.texts


def grids(result: Result) -> list[Grid]:
    """One table per case; one of all cases where only the subject is judged."""
    judged = any(sample.passed is not None for sample in result.samples)
    if judged and {sample.server for sample in result.samples} == {result.subject}:
        return [_verdict_grid(result)]
    return [_case_grid(result, case, judged=judged) for case in result.cases()]


def _case_grid(result: Result, case: str, *, judged: bool) -> Grid:
    headings = ["server"]
    for metric in result.metrics:
        headings.append(heading(metric))
        if metric.ratio:
            headings.append(f"{result.subject} ÷ this")
    rows = [_case_row(result, case, server) for server in result.servers(case)]
    headings.append("limited by")
    found = ", ".join(result.congestions(case))
    title = f"{case} (read back: {found})" if found else case
    if not judged:
        return Grid(title, headings, rows)
    for row in rows:
        row.append(verdict(result, case, row[0]))
    return Grid(
        f"{title}, against {result.bound}", [*headings, "verdict"], rows, texts=2
    )


def _case_row(result: Result, case: str, server: str) -> list[str]:
    row = [server]
    for metric in result.metrics:
        row.append(figure(result.spread(case, server, metric.key), metric.digits))
        if metric.ratio:
            row.append(_ratio(result, case, server, metric))
    return [*row, ", ".join(result.limits(case, server)) or "–"]


def _ratio(result: Result, case: str, server: str, metric: Metric) -> str:
    if server == result.subject:
        return ""
    return figure(result.ratio(case, server, metric.key), 2)


def _verdict_grid(result: Result) -> Grid:
    rows = [
        [
            case,
            *(
                figure(result.spread(case, result.subject, metric.key), metric.digits)
                for metric in result.metrics
            ),
            verdict(result, case, result.subject),
        ]
        for case in result.cases()
    ]
    headings = ["case", *map(heading, result.metrics), "verdict"]
    return Grid(f"{result.subject}, against {result.bound}", headings, rows)


def verdict(result: Result, case: str, server: str) -> str:
    """``pass`` only when every round of the case passed."""
    passed = result.passed(case, server)
    if passed is None or passed:
        return "–" if passed is None else "pass"
    rounds = [s.passed for s in result.samples if (s.case, s.server) == (case, server)]
    return f"FAIL ({rounds.count(False)} of {len(rounds)})"


def heading(metric: Metric) -> str:
    return f"{metric.title} [{metric.unit}]" if metric.unit else metric.title


def figure(values: Spread | None, digits: int) -> str:
    """The median above ``minimum–maximum``; one number when all rounds agree."""
    if values is None:
        return "–"
    low, middle, high = (
        f"{value:,.{digits}f}"
        for value in (values.minimum, values.median, values.maximum)
    )
    return middle if low == high else f"{middle}\n{low}–{high}"


def comparison_grid(found: Comparison) -> Grid:
    """Old against new; the outcome is about the ratio wherever there is one."""
    headings = ["case", "metric", "old", "new", "change"]
    headings += ["old ratio", "new ratio", "ratio change", "outcome"]
    rows = [_change_row(change) for change in found.changes]
    for case in found.verdicts:
        words = ["pass" if passed else "FAIL" for passed in (case.old, case.new)]
        rows.append([case.case, "verdict", *words, *["–"] * 4, case.outcome])
    title = f"{found.workload}: {found.subject}, old and new"
    return Grid(title, headings, rows, names=2)


def _change_row(change: Change) -> list[str]:
    digits = change.metric.digits
    return [
        change.case,
        heading(change.metric),
        figure(change.old, digits),
        figure(change.new, digits),
        signed_percent(change.percent()),
        figure(change.old_ratio, RATIO_DIGITS),
        figure(change.new_ratio, RATIO_DIGITS),
        signed_percent(change.ratio_percent()),
        change.outcome,
    ]


def signed_percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f} %"


def summary_line(found: Comparison) -> str:
    counts = [f"{found.count(outcome)} {outcome}" for outcome in OUTCOMES]
    return f"{found.workload}: {', '.join(counts)}"


def compared_against(found: Comparison) -> str:
    """Whom the ratios of this comparison are to."""
    peers = dict.fromkeys(peer for change in found.changes for peer in change.peers)
    if not peers:
        return "no peer in common"
    return f"ratios are to {'; '.join(peers)}"


def as_markdown(record: Record, compared: Compared | None = None) -> str:
    """The same page for documents."""
    lines = [f"## {record.suite}", ""] if record.suite else []
    for result in record.results:
        lines += [*_result_markdown(result), ""]
    for failure in record.failures:
        lines += [f"### {failure.workload}", "", f"not measured: {failure.reason}", ""]
    if compared is not None:
        lines += _compared_markdown(compared)
    return "\n".join(lines).rstrip() + "\n"


def _result_markdown(result: Result) -> list[str]:
    lines = [f"### {result.workload}", "", *machine_lines(result.machine), ""]
    for grid in grids(result):
        lines += _grid_markdown(grid)
    return lines + [f"* {note}" for note in result.notes]


def _compared_markdown(compared: Compared) -> list[str]:
    lines = ["### Compared with an older result", ""]
    for found in compared.workloads:
        lines += _grid_markdown(comparison_grid(found))
        notes = [summary_line(found), compared_against(found), *found.warnings]
        lines += [*(f"* {note}" for note in notes), ""]
    return lines + [f"* {reason}" for reason in compared.left_out]


def _grid_markdown(grid: Grid) -> list[str]:
    columns = range(len(grid.headings))
    rule = _markdown_row(["---:" if grid.is_figures(at) else "---" for at in columns])
    head = [f"**{grid.title}**", "", _markdown_row(grid.headings), rule]
    return [*head, *map(_markdown_row, grid.rows), ""]


def _markdown_row(cells: Sequence[str]) -> str:
    # A cell's second line is the range: in a document it fits beside the median.
    texts = (cell.replace("\n", " (") + ")" * ("\n" in cell) for cell in cells)
    escaped = (text.replace("|", "\\|").replace("<", "&lt;") for text in texts)
    return f"| {' | '.join(escaped)} |"
