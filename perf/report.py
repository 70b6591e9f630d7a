"""Shows a result: tables in the terminal, JSON for machines, a bar meanwhile."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from perf.bench import Advance
from perf.machine import Machine
from perf.results import Metric, Result
from perf.stats import Spread

JSON_SCHEMA = 1
"""Grows when a reader of the JSON would have to change."""


@contextmanager
def progress(console: Console, title: str, total: int) -> Iterator[Advance]:
    """A bar of ``total`` steps on ``console`` while the block runs."""
    columns = (
        TextColumn("[bold]{task.fields[title]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    # Few refreshes: the bar must not take CPU from what is measured.
    with Progress(*columns, console=console, refresh_per_second=1) as bar:
        task = bar.add_task("", total=total, title=title)

        def advance(steps: int, description: str) -> None:
            bar.update(task, advance=steps, description=description)

        yield advance


def show(console: Console, result: Result) -> None:
    """Print the whole result: circumstances, a table per case, notes."""
    console.print(f"\n[bold]{result.workload}[/bold]")
    for line in machine_lines(result.machine):
        console.print(line, style="dim", highlight=False)
    for grid in grids(result):
        console.print(drawn(grid))
    for note in result.notes:
        console.print(f"note: {note}", highlight=False)


def machine_lines(machine: Machine) -> list[str]:
    pinned = "pinned" if machine.congestion_pinned else "the machine's default"
    cores = ",".join(map(str, machine.server_cpus))
    versions = ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    load = "not pinned" if machine.load_cpu is None else f"on cpu {machine.load_cpu}"
    return [
        f"{machine.taken_at} · {machine.cpu_model} × {machine.cpus} · "
        f"{machine.memory_bytes / 2**30:.1f} GiB · {machine.kernel}",
        f"server on cpu {cores}, load {load} · "
        f"congestion control {machine.congestion_control} ({pinned}) · {versions}",
    ]


@dataclass(frozen=True, slots=True)
class Grid:
    """One table, before it is drawn."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def grids(result: Result) -> list[Grid]:
    """One table per case; one of all cases where they are judged, not compared."""
    if any(sample.passed is not None for sample in result.samples):
        return [_verdict_grid(result)]
    return [_case_grid(result, case) for case in result.cases()]


def _case_grid(result: Result, case: str) -> Grid:
    headings = ["server"]
    for metric in result.metrics:
        headings.append(_heading(metric))
        if metric.ratio:
            headings.append(f"{result.subject} ÷ this")
    servers = result.servers(case)
    rows = [_case_row(result, case, server) for server in servers]
    found = ", ".join(result.congestions(case))
    title = f"{case} (read back: {found})" if found else case
    return Grid(title, [*headings, "limited by"], rows)


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
            verdict(result, case),
        ]
        for case in result.cases()
    ]
    headings = ["case", *map(_heading, result.metrics), "verdict"]
    return Grid(f"{result.subject}, against {result.bound}", headings, rows)


def drawn(grid: Grid) -> Table:
    """For a terminal."""
    table = Table(title=grid.title, title_justify="left")
    for index, heading in enumerate(grid.headings):
        text = index in (0, len(grid.headings) - 1)
        justify: JustifyMethod = "left" if text else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in grid.rows:
        table.add_row(*row)
    return table


def as_markdown(result: Result) -> str:
    """The same page for documents."""
    lines = [f"### {result.workload}", "", *machine_lines(result.machine), ""]
    for grid in grids(result):
        lines += [f"**{grid.title}**", "", _markdown_row(grid.headings)]
        lines.append(_markdown_row(["---", *["---:"] * (len(grid.headings) - 1)]))
        lines += [_markdown_row(row) for row in grid.rows]
        lines.append("")
    lines += [f"* {note}" for note in result.notes]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    # A cell's second line is the range: in a document it fits beside the median.
    texts = (cell.replace("\n", " (") + ")" * ("\n" in cell) for cell in cells)
    return f"| {' | '.join(texts)} |"


def verdict(result: Result, case: str) -> str:
    """``pass`` only when every round of the case passed."""
    rounds = [s.passed for s in result.samples if s.case == case]
    return "pass" if all(rounds) else f"FAIL ({rounds.count(False)} of {len(rounds)})"


def _heading(metric: Metric) -> str:
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


def as_json(result: Result) -> dict[str, object]:
    """Everything a later run needs to be compared with this one."""
    return {
        "schema": JSON_SCHEMA,
        "workload": result.workload,
        "machine": asdict(result.machine),
        "metrics": [asdict(metric) for metric in result.metrics],
        "samples": [asdict(sample) for sample in result.samples],
        "summary": [
            _summary(result, case, server)
            for case in result.cases()
            for server in result.servers(case)
        ],
        "notes": result.notes,
    }


def _summary(result: Result, case: str, server: str) -> dict[str, object]:
    found = {m.key: result.spread(case, server, m.key) for m in result.metrics}
    ratios = {
        metric.key: result.ratio(case, server, metric.key)
        for metric in result.metrics
        if metric.ratio and server != result.subject
    }
    return {
        "case": case,
        "server": server,
        "figures": {key: asdict(value) for key, value in found.items() if value},
        f"{result.subject}_ratio": {
            key: asdict(value) for key, value in ratios.items() if value
        },
        "limited_by": result.limits(case, server),
    }


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_json(result: Result, path: Path) -> None:
    write(path, json.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n")
