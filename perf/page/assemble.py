"""Puts a record into the template: what is said where, in which order."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from perf.compare import Compared
from perf.errors import PerfError
from perf.machine import Machine
from perf.page import timelines
from perf.page.panels import (
    Block,
    Panel,
    Role,
    beside_one,
    blocks,
    comparison_panel,
    one_line,
)
from perf.page.plots import draw, legend
from perf.record import Record
from perf.report import (
    compared_against,
    comparison_grid,
    summary_line,
)
from perf.results import Metric, Result, Timeline
from perf.stats import middle

LIBRARIES = ("jinja2", "matplotlib")
TEMPLATE = "page.html.j2"
Facts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Chip:
    """One ratio at a glance; the words do not need the colour."""

    peer: str
    ratio: str
    limits: str
    role: Role


@dataclass(frozen=True, slots=True)
class Glance:
    """What was measured, and how the subject stands: beside its peers, case by case;
    against a bound, all cases in one line."""

    workload: str
    case: str
    metric: str
    chips: Sequence[Chip] = ()
    passed: str = ""
    failed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Drawing:
    title: str
    hint: str
    svg: str
    legend: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A heading, drawings, tables, notes."""

    anchor: str
    title: str
    facts: Facts
    blocks: Sequence[tuple[Block, Sequence[Drawing]]]
    notes: Sequence[str]
    about: str = ""
    worse: bool = False


def require_libraries() -> None:
    """Without importing them: they start threads, and no thread may run yet when the
    harness enters its namespace.

    Raises:
        PerfError: one is not installed; names the remedy.
    """
    for name in LIBRARIES:
        if find_spec(name) is None:
            raise PerfError(
                f"--html needs {name}, which is not installed: use ./dev bench, or "
                "pip install -c constraints.txt -e '.[report]'"
            )


def render(record: Record, compared: Compared | None = None) -> str:
    """The whole page.

    Raises:
        PerfError: its libraries are not installed.
    """
    require_libraries()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    common = shared_facts(record.results)
    alone = record.suite is None
    return environment.get_template(TEMPLATE).render(
        brand=f"penstock perf, {record.title()}",
        title=record.title() if alone else "penstock beside its peers",
        subtitle=period(record.results),
        facts=common,
        glances=[line for result in record.results for line in glance(result)],
        comparison=None if compared is None else list(_comparison_parts(compared)),
        left_out=[] if compared is None else compared.left_out,
        about=record.results[0].about if alone else "",
        parts=[
            _part(f"w{at}", result, common, alone=alone)
            for at, result in enumerate(record.results)
        ],
        failures=record.failures,
    )


def period(results: Sequence[Result]) -> str:
    """From the first to the last start, in UTC, as minutes."""
    times = sorted(result.machine.taken_at[:16].replace("T", " ") for result in results)
    if not times:
        return ""
    first, last = times[0], times[-1]
    if first == last:
        return f"{first} UTC"
    same_day = first[:10] == last[:10]
    return f"{first} to {last[11:] if same_day else last} UTC"


def shared_facts(results: Sequence[Result]) -> Facts:
    """Those that no result contradicts; a version may be known to some only."""
    found: dict[str, set[str]] = {}
    for result in results:
        for name, value in facts(result.machine):
            found.setdefault(name, set()).add(value)
    return [(name, min(values)) for name, values in found.items() if len(values) == 1]


def facts(machine: Machine) -> Facts:
    pinned = "pinned at both ends" if machine.congestion_pinned else "machine's default"
    load = "not pinned" if machine.load_cpu is None else f"core {machine.load_cpu}"
    cores = f"core {', '.join(map(str, machine.server_cpus))}"
    network = [
        ("Congestion control", f"{machine.congestion_control}, {pinned}"),
        ("Server on", cores),
        ("Load on", load),
    ]
    return [
        ("CPU", f"{machine.cpu_model}, {machine.cpus} cores"),
        ("Memory", f"{machine.memory_bytes / 2**30:.1f} GiB"),
        ("Kernel", machine.kernel),
        *(network if machine.congestion_control else [("Measured on", cores)]),
        *(
            ("Load generator" if name == "load" else name, version)
            for name, version in machine.versions.items()
        ),
    ]


def run_facts(result: Result) -> Facts:
    """How much was measured, and who was at the end of its CPU."""
    rounds = len({sample.round for sample in result.samples})
    length = f" of {result.seconds:g} s" if result.seconds else ""
    found: Facts = [("Rounds", f"{rounds}{length}")]
    limits = Counter(s.limited_by for s in result.samples if s.limited_by)
    if limits:
        total = sum(limits.values())
        shares = [f"{who} in {count}" for who, count in limits.most_common()]
        found.append(("Limited by", f"{', '.join(shares)} of {total} measurements"))
    return found


def glance(result: Result) -> Iterator[Glance]:
    """Every case's first ratio, and the verdicts."""
    metric = next((m for m in result.metrics if m.ratio), None)
    for case in result.cases():
        chips = [] if metric is None else list(_chips(result, case, metric))
        if metric is not None and chips:
            yield Glance(result.workload, case, metric.title, chips)
    verdicts = {case: result.passed(case, result.subject) for case in result.cases()}
    judged = [case for case, passed in verdicts.items() if passed is not None]
    failed = [case for case in judged if not verdicts[case]]
    if judged:
        passed = len(judged) - len(failed)
        share = f"{passed} of {len(judged)}" if passed else ""
        bound = f"against {result.bound}"
        yield Glance(result.workload, "", bound, passed=share, failed=failed)


def _chips(result: Result, case: str, metric: Metric) -> Iterator[Chip]:
    for server in result.servers(case):
        ratios = result.ratios(case, server, metric.key)
        if server == result.subject or not ratios:
            continue
        found = middle(ratios)
        ratio, _, limits = one_line(found, 2).partition(" ")
        yield Chip(server, ratio, limits, beside_one(found, metric.better))


def _part(anchor: str, result: Result, common: Facts, *, alone: bool) -> Part:
    own = [fact for fact in facts(result.machine) if fact not in common]
    return Part(
        anchor=anchor,
        title="In detail" if alone else result.workload,
        about="" if alone else result.about,
        facts=[*run_facts(result), *own],
        blocks=[
            (block, _drawings(block, f"{anchor}b{at}"))
            for at, block in enumerate(blocks(result))
        ],
        notes=result.notes,
    )


def _drawings(block: Block, anchor: str) -> list[Drawing]:
    found = [
        _drawing(panel, f"{anchor}p{at}", block.title)
        for at, panel in enumerate(block.panels)
    ]
    for at, (title, timeline) in enumerate(block.timelines.items()):
        found.append(_timeline_drawing(timeline, f"{anchor}s{at}", title, block.title))
    return found


def _drawing(panel: Panel, anchor: str, case: str) -> Drawing:
    from markupsafe import Markup

    title = f"{panel.title}, {case}" if case else panel.title
    # Safe: written by an XML library, which escaped every name.
    drawn = Markup(draw(panel, anchor, title))
    return Drawing(panel.title, panel.hint, drawn, legend(panel))


def _timeline_drawing(
    timeline: Timeline, anchor: str, title: str, case: str
) -> Drawing:
    from markupsafe import Markup

    name = f"{title}, {case}" if case else title
    drawn = Markup(timelines.draw(timeline, anchor, name))
    slots = f"slots of {1e3 * timeline.slot_seconds:g} ms"
    return Drawing(f"{title} [{timeline.unit}]", slots, drawn, wide=True)


def _comparison_parts(compared: Compared) -> Iterator[Part]:
    for at, found in enumerate(compared.workloads):
        anchor = f"c{at}"
        panel = comparison_panel(found)
        drawings = [] if panel is None else [_drawing(panel, anchor, found.workload)]
        block = Block("", [], [comparison_grid(found)])
        yield Part(
            anchor=anchor,
            title=summary_line(found),
            facts=[],
            blocks=[(block, drawings)],
            notes=[compared_against(found), *found.warnings],
            worse=found.regressed(),
        )
