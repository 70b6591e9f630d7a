"""How far a run is: a bar in a terminal, a line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from rich.table import Column

from perf.bench import Advance

Steps = Callable[[int, int, str], None]
"""Called with the steps done, how many there are, and what happens next."""

HEARTBEAT_SECONDS = 30.0
"""Between two lines where nobody watches a bar, so that a log shows life."""
ESTIMATE_SECONDS = 900.0
"""Over which the speed is estimated: one step may take a minute."""
NARROW_COLUMNS = 80
STEPS_FILE = "PERF_STEPS_FILE"
"""Environment variable: a suite reads there how far its workload is."""


@contextmanager
def progress(console: Console, title: str, total: int) -> Iterator[Advance]:
    """Show ``total`` steps while the block runs."""
    path = os.environ.get(STEPS_FILE)
    if path is not None:
        yield _to_file(Path(path), total)
    elif console.is_terminal:
        with bar(console) as shown:
            task = shown.add_task("", total=total, title=title)

            def advance(steps: int, description: str) -> None:
                shown.update(task, advance=steps, description=description)

            yield advance
    else:
        yield heartbeat(title, total)


def bar(console: Console) -> Progress:
    """One line per task; each task needs a field ``title``."""
    wide = console.width >= NARROW_COLUMNS
    columns = [
        TextColumn("[bold]{task.fields[title]}", markup=True),
        *([BarColumn(bar_width=20)] if wide else []),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if wide else []),
        TextColumn(
            "{task.description}",
            markup=False,
            # It takes what the others leave, or it would push them out.
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
    ]
    # Few refreshes: the bar must not take CPU from what is measured.
    return Progress(
        *columns,
        console=console,
        refresh_per_second=1,
        speed_estimate_period=ESTIMATE_SECONDS,
        expand=True,
    )


def heartbeat(title: str, total: int) -> Advance:
    """Lines on standard error, because standard output has the tables."""
    done, say = 0, lines(title)

    def advance(steps: int, description: str) -> None:
        nonlocal done
        done += steps
        if description:
            say(done, total, description)

    return advance


def lines(title: str) -> Steps:
    """Say how far it is, but not more often than every ``HEARTBEAT_SECONDS``."""
    last = time.monotonic()

    def say(done: int, total: int, description: str) -> None:
        nonlocal last
        if time.monotonic() - last >= HEARTBEAT_SECONDS:
            last = time.monotonic()
            print(
                f"{title}: {done}/{total}, {description}", file=sys.stderr, flush=True
            )

    return say


def _to_file(path: Path, total: int) -> Advance:
    """The last line of ``path`` says: steps done, of how many, what is next."""
    done = 0

    def advance(steps: int, description: str) -> None:
        nonlocal done
        done += steps
        with path.open("a") as file:
            file.write(f"{done}\t{total}\t{' '.join(description.split())}\n")

    return advance


def steps_of(path: Path) -> tuple[int, int, str] | None:
    """What a workload wrote last: steps done, of how many, what is next."""
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines or lines[-1].count("\t") != 2:
        return None
    done, total, description = lines[-1].split("\t")
    return int(done), int(total), description
