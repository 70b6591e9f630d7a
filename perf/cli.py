"""The command line that all workloads share: options, checks, the run and its report.

A workload is a module of ``perf.workloads`` that registers one command with ``app``.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cyclopts import App, Parameter
from rich.console import Console

from perf import corpus, namespace, terminal
from perf.bench import Advance, Bench
from perf.errors import PerfError
from perf.output import Outputs, finish, prepare
from perf.process import raise_open_files
from perf.progress import progress
from perf.record import Record
from perf.results import Result
from perf.servers import KINDS, Kind

app = App(
    name="perf",
    help="Measure penstock beside its peers, in turn, in one run, on this machine.",
    version_flags=[],
)
# Without a terminal to ask, rich would squeeze the tables into 80 columns.
console = Console(width=None if sys.stdout.isatty() else 160)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every workload."""

    rounds: int = 5
    "How often every server takes its turn."
    seconds: int = 3
    "Length of one measured interval."
    peers: str = "penstock,nginx,lighttpd"
    "The servers, in the order of their turns; all is every one that is known."
    server_cpu: str = "0"
    "Cores of the server, for example 0 or 0,1."
    load_cpu: int = 1
    "Core of the load generator."
    congestion: str = "cubic"
    "TCP congestion control of every connection; system leaves the machine's own."
    several_congestions: ClassVar[bool] = False
    json: Path | None = None
    "Also write everything to this file."
    markdown: Path | None = None
    "Also write the tables to this file."
    html: Path | None = None
    "Also write a page with plots to this file; it needs nothing else to be read."
    compare: Path | None = None
    "Compare with this file of an earlier --json; exit code 1 when it got worse."

    def outputs(self) -> Outputs:
        return Outputs(self.json, self.markdown, self.html)


@Parameter(name="*")
@dataclass(frozen=True)
class StoredCommon(Common):
    """Options of a workload to which it matters where its files lie."""

    folder: Path | None = None
    "Where the files to be served are made; by default where temporary files go."


def numbers(option: str, text: str) -> list[int]:
    """``"1,64"`` as integers.

    Raises:
        PerfError: not a list of positive integers.
    """
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise PerfError(f"--{option}: {text!r} is not a list of positive integers")
    return [int(part) for part in parts]


def servers(text: str) -> tuple[list[Kind], list[str]]:
    """The asked-for servers that are installed, and the names of those that are not.

    Raises:
        PerfError: a name is unknown, or nothing asked for is installed.
    """
    names = list(KINDS) if text == "all" else [n.strip() for n in text.split(",")]
    if unknown := [name for name in names if name not in KINDS]:
        raise PerfError(f"--peers: {unknown[0]!r} is none of all, {', '.join(KINDS)}")
    found = [KINDS[name] for name in names if KINDS[name].version() is not None]
    if not found:
        raise PerfError(f"none of {text} is installed")
    return found, [n for n in names if n not in {kind.name for kind in found}]


def server_cpus(text: str) -> list[int]:
    """``all`` is every core this process may use, at most two."""
    available = sorted(os.sched_getaffinity(0))
    return available[:2] if text == "all" else _core_numbers(text)


def _core_numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise PerfError(f"--server-cpu: {text!r} is not a list of cores")
    return [int(part) for part in parts]


def about(workload: Callable[[Bench], Result]) -> str:
    """The first paragraph of its module, which is for people, without its name."""
    text = (sys.modules[workload.__module__].__doc__ or "").partition("\n\n")[0]
    sentence = " ".join(text.split()).partition("``: ")[2].replace("``", "")
    return sentence[:1].upper() + sentence[1:]


def execute(
    common: Common,
    title: str,
    steps: Callable[[Bench], int],
    workload: Callable[[Bench], Result],
) -> int:
    """Set the stage, run, report; 1 when the workload's own bound was missed, or when
    it got worse than what it is compared with."""
    old = prepare(common.outputs(), common.compare, [title])
    kinds, absent = servers(common.peers)
    raise_open_files()
    congestions = [name.strip() for name in common.congestion.split(",")]
    if len(congestions) > 1 and not common.several_congestions:
        raise PerfError(f"--congestion: {title} compares none: name one, not several")
    reason = namespace.enter(congestions)

    def bench(folder: Path, advance: Advance) -> Bench:
        return Bench(
            folder=folder,
            kinds=kinds,
            absent=absent,
            congestions=congestions if reason is None else ["system"],
            unpinned_reason=reason,
            server_cpus=server_cpus(common.server_cpu),
            load_cpu=common.load_cpu,
            rounds=common.rounds,
            seconds=common.seconds,
            advance=advance,
        )

    parent = common.folder if isinstance(common, StoredCommon) else None
    with corpus.temporary_folder(parent) as folder:
        total = steps(bench(folder, lambda *_: None))
        with progress(console, title, total) as advance:
            result = workload(bench(folder, advance))
    result.about = about(workload)
    terminal.show(console, result)
    return finish(console, Record([result]), common.outputs(), old)
