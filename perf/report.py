"""Shows a result: tables in the terminal, JSON for machines, a bar meanwhile."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
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
from perf.results import SUBJECT, Metric, Result
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
    for table in tables(result):
        console.print(table)
    for note in result.notes:
        console.print(f"note: {note}", highlight=False)


def machine_lines(machine: Machine) -> list[str]:
    pinned = "pinned" if machine.congestion_pinned else "the machine's default"
    cores = ",".join(map(str, machine.server_cpus))
    versions = ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    return [
        f"{machine.taken_at} · {machine.cpu_model} × {machine.cpus} · "
        f"{machine.memory_bytes / 2**30:.1f} GiB · {machine.kernel}",
        f"server on cpu {cores}, load on cpu {machine.load_cpu} · "
        f"congestion control {machine.congestion_control} ({pinned}) · {versions}",
    ]


def tables(result: Result) -> list[Table]:
    """One table per case; one table of all cases where only one server is shown."""
    judged = any(sample.passed is not None for sample in result.samples)
    if judged:
        return [_verdict_table(result)]
    return [_case_table(result, case) for case in result.cases()]


def _case_table(result: Result, case: str) -> Table:
    table = Table(title=case, title_justify="left")
    table.add_column("server")
    for metric in result.metrics:
        table.add_column(_heading(metric), justify="right")
        if metric.ratio:
            table.add_column(f"{SUBJECT} ÷ this", justify="right")
    table.add_column("limited by")
    for server in result.servers(case):
        row = [server]
        for metric in result.metrics:
            row.append(figure(result.spread(case, server, metric.key), metric.digits))
            if metric.ratio:
                row.append(_ratio(result, case, server, metric))
        table.add_row(*row, ", ".join(result.limits(case, server)) or "–")
    return table


def _ratio(result: Result, case: str, server: str, metric: Metric) -> str:
    if server == SUBJECT:
        return ""
    return figure(result.ratio(case, server, metric.key), 2)


def _verdict_table(result: Result) -> Table:
    table = Table(title=f"{SUBJECT}, against the limit", title_justify="left")
    table.add_column("case")
    for metric in result.metrics:
        table.add_column(_heading(metric), justify="right")
    table.add_column("verdict")
    for case in result.cases():
        for server in result.servers(case):
            figures = [
                figure(result.spread(case, server, metric.key), metric.digits)
                for metric in result.metrics
            ]
            table.add_row(case, *figures, verdict(result, case))
    return table


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
        if metric.ratio and server != SUBJECT
    }
    return {
        "case": case,
        "server": server,
        "figures": {key: asdict(value) for key, value in found.items() if value},
        f"{SUBJECT}_ratio": {
            key: asdict(value) for key, value in ratios.items() if value
        },
        "limited_by": result.limits(case, server),
    }


def write_json(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n")
