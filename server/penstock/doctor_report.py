"""How ``penstock doctor`` is shown: a table for people, lines for everything else."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from penstock.doctor import Finding, Verdict

EXIT_MISSING = 1
_STYLES = {Verdict.OK: "green", Verdict.ADVICE: "yellow", Verdict.MISSING: "bold red"}


def report(findings: Sequence[Finding]) -> int:
    """Print to stdout; 1 when something required is missing, else 0."""
    if sys.stdout.isatty():
        Console().print(_table(findings))
    else:
        print("\n".join(_lines(findings)))
    missing = any(finding.verdict is Verdict.MISSING for finding in findings)
    return EXIT_MISSING if missing else 0


def _table(findings: Sequence[Finding]) -> Table:
    table = Table("", "what", "found", "remedy", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(
            f"[{_STYLES[finding.verdict]}]{finding.verdict}[/]",
            finding.subject,
            finding.found,
            finding.remedy,
        )
    return table


def _lines(findings: Sequence[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:7} {finding.subject}: {finding.found}")
        if finding.remedy:
            lines.append(f"        remedy: {finding.remedy}")
    return lines
