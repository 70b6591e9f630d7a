"""``show`` and ``compare``: what can be done with saved results, without a run."""

from pathlib import Path

from perf import record, terminal
from perf.cli import app, console
from perf.output import Outputs, finish, prepare, write_files


@app.command(name="show")
def show(
    file: Path, /, *, html: Path | None = None, markdown: Path | None = None
) -> int:
    """Render a saved result anew, of one workload or of a suite.

    Args:
        file: What --json wrote.
        html: Also write a page with plots to this file.
        markdown: Also write the tables to this file.
    """
    outputs = Outputs(markdown=markdown, html=html)
    prepare(outputs, None, [])
    found = record.load(file)
    for result in found.results:
        terminal.show(console, result)
    terminal.show_failures(console, found)
    write_files(found, outputs, None)
    return 0


@app.command(name="compare")
def compare(
    old: Path,
    new: Path,
    /,
    *,
    html: Path | None = None,
    markdown: Path | None = None,
    json: Path | None = None,
) -> int:
    """Compare two saved results. Exit code 1 when the new one is worse.

    Args:
        old: What --json wrote earlier.
        new: What it wrote later.
        html: Also write a page of the new result with the comparison.
        markdown: Also write the tables and the comparison.
        json: Also write the new result with the comparison.
    """
    outputs = Outputs(json, markdown, html)
    prepare(outputs, None, [])
    after = record.load(new)
    return finish(console, after, outputs, record.load(old))
