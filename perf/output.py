"""Where a record goes when it is complete: files, the comparison, the exit code."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from perf import page, record, report, terminal
from perf.compare import Compared, compare
from perf.errors import PerfError
from perf.record import Record


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that were asked for."""

    json: Path | None = None
    markdown: Path | None = None
    html: Path | None = None


def prepare(
    outputs: Outputs, baseline: Path | None, workloads: Sequence[str]
) -> Record | None:
    """Find out before a long run what would spoil its end; load the baseline.

    Raises:
        PerfError: the page's libraries are absent, or the baseline cannot be read or
            has none of ``workloads``.
    """
    if outputs.html is not None:
        page.require_libraries()
    if baseline is None:
        return None
    old = record.load(baseline)
    found = [result.workload for result in old.results]
    if not set(found) & set(workloads):
        raise PerfError(
            f"--compare {baseline}: is about {', '.join(found) or 'nothing'}, "
            f"not about {', '.join(workloads)}"
        )
    return old


def finish(
    console: Console, new: Record, outputs: Outputs, old: Record | None = None
) -> int:
    """Compare, print the comparison, write every file.

    Returns:
        1 when a workload missed its own bound or got worse than ``old``, else 0.

    Raises:
        PerfError: a file cannot be written, or nothing can be compared. The JSON is
            written before either, so that no figure is lost.
    """
    if outputs.json is not None:
        record.write_json(new, outputs.json)
    compared = None if old is None else compare(old, new)
    write_files(new, outputs, compared)
    if compared is not None:
        terminal.show_compared(console, compared)
    missed = any(result.failed() for result in new.results)
    return 1 if missed or (compared is not None and compared.regressed()) else 0


def write_files(new: Record, outputs: Outputs, compared: Compared | None) -> None:
    if outputs.json is not None and compared is not None:
        content = record.as_json(new) | {
            "comparison": asdict(compared) | {"regressed": compared.regressed()}
        }
        text = json.dumps(content, indent=2, ensure_ascii=False)
        record.write(outputs.json, text + "\n")
    if outputs.markdown is not None:
        record.write(outputs.markdown, report.as_markdown(new, compared))
    if outputs.html is not None:
        record.write(outputs.html, page.render(new, compared))
