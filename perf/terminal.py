"""Shows results in a terminal, whatever its width, with colours or without."""

from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perf.compare import Compared, Comparison
from perf.record import Record
from perf.report import (
    Grid,
    compared_against,
    comparison_grid,
    grids,
    machine_lines,
    summary_line,
)
from perf.results import Result

STYLES = {"FAIL": "bold red", "worse": "bold red", "pass": "green", "better": "green"}


def show(console: Console, result: Result) -> None:
    """Print the whole result: circumstances, a table per case, notes."""
    console.print()
    console.print(result.workload, style="bold", markup=False, highlight=False)
    for line in machine_lines(result.machine):
        console.print(line, style="dim", markup=False, highlight=False)
    for grid in grids(result):
        print_grid(console, grid)
    _notes(console, result.notes)


def show_compared(console: Console, compared: Compared) -> None:
    """Print every comparison and, last of all, what came out."""
    for found in compared.workloads:
        _show_comparison(console, found)
    _notes(console, compared.left_out)
    for found in compared.workloads:
        style = "bold red" if found.regressed() else None
        say(console, summary_line(found), style)


def _show_comparison(console: Console, found: Comparison) -> None:
    console.print()
    print_grid(console, comparison_grid(found))
    _notes(console, [compared_against(found), *found.warnings])


def show_failures(console: Console, record: Record) -> None:
    """Print which workloads of a suite are missing, and why."""
    for failure in record.failures:
        line = f"{failure.workload}: not measured: {failure.reason}"
        say(console, line, "bold red")


def _notes(console: Console, notes: Sequence[str]) -> None:
    for note in notes:
        say(console, f"note: {note}")


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print what is text, not markup."""
    console.print(text, style=style, markup=False, highlight=False)


def print_grid(console: Console, grid: Grid) -> None:
    """As a table; below each other where the columns would break within a figure."""
    fits = _least_width(grid) <= console.width
    console.print(drawn(grid) if fits else stacked(grid))


def _least_width(grid: Grid) -> int:
    """With borders, and no word broken."""
    return sum(width + 3 for width in _longest_words(grid)) + 1


def _longest_words(grid: Grid) -> list[int]:
    """Of each column."""
    columns = zip(grid.headings, *grid.rows, strict=True)
    return [
        max((len(word) for cell in cells for word in cell.split()), default=1)
        for cells in columns
    ]


def drawn(grid: Grid) -> Table:
    """Titles and names are text, never markup."""
    table = Table(title=Text(grid.title, "italic"), title_justify="left")
    widths = _longest_words(grid)
    for index, (heading, width) in enumerate(zip(grid.headings, widths, strict=True)):
        side: Literal["left", "right"] = "right" if grid.is_figures(index) else "left"
        # Or rich would take from all columns alike, and break figures.
        table.add_column(Text(heading), justify=side, min_width=width)
    for row in grid.rows:
        table.add_row(*map(_styled, row))
    return table


def stacked(grid: Grid) -> Table:
    """Two columns for any width: heading and figure, a group for each row."""
    table = Table.grid(padding=(0, 2))
    table.title, table.title_justify = Text(grid.title, "italic"), "left"
    for row in grid.rows:
        table.add_row(Text(row[0], "bold"), "")
        for heading, cell in zip(grid.headings[1:], row[1:], strict=True):
            if cell:
                table.add_row(Text(f"  {heading}"), _styled(cell.replace("\n", "  ")))
    return table


def _styled(cell: str) -> Text:
    return Text(cell, STYLES.get(cell.partition(" ")[0], ""))
