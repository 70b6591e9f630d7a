"""The command line that all workloads share: options, checks, the run and its report.

A workload is a module of ``perf.workloads`` that registers one command with ``app``.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, get_args, get_type_hints

from cyclopts import App, Parameter
from rich.console import Console

from perf import corpus, namespace, terminal
from perf.bench import Advance, Bench
from perf.errors import PerfError
from perf.output import Outputs, finish, prepare
from perf.process import raise_open_files
from perf.progress import progress
from perf.record import Record
from perf.results import SUBJECT, Result
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
    "How often everything is measured, in turn."
    server_cpu: str = "0"
    "Cores of what is measured, for example 0 or 0,1."
    json: Path | None = None
    "Also write everything to this file."
    markdown: Path | None = None
    "Also write the tables to this file."
    html: Path | None = None
    "Also write a page with plots to this file; it needs nothing else to be read."
    compare: Path | None = None
    "Compare with this file of an earlier --json; exit code 1 when it got worse."
    several_congestions: ClassVar[bool] = False

    def outputs(self) -> Outputs:
        return Outputs(self.json, self.markdown, self.html)

    def kinds(self) -> tuple[list[Kind], list[str]]:
        """The servers that are measured, and the names of those that are absent."""
        return [], []

    def congestions(self) -> list[str]:
        """TCP congestion controls; none where there are no connections."""
        return []


@Parameter(name="*")
@dataclass(frozen=True)
class LoadedCommon(Common):
    """Options of a workload with a load generator and connections."""

    load_cpu: int = 1
    "Core of the load generator."
    congestion: str = "cubic"
    "TCP congestion control of every connection; system leaves the machine's own."

    def kinds(self) -> tuple[list[Kind], list[str]]:
        return servers(SUBJECT)

    def congestions(self) -> list[str]:
        return [name.strip() for name in self.congestion.split(",")]


@Parameter(name="*")
@dataclass(frozen=True)
class PeersCommon(LoadedCommon):
    """Options of a workload that measures penstock beside its peers."""

    peers: str = "penstock,nginx,lighttpd"
    "The servers, in the order of their turns; all is every one that is known."

    def kinds(self) -> tuple[list[Kind], list[str]]:
        return servers(self.peers)


@Parameter(name="*")
@dataclass(frozen=True)
class IntervalCommon(PeersCommon):
    """Options of a workload that measures its peers for a time."""

    seconds: int = 3
    "Length of one measured interval."


@Parameter(name="*")
@dataclass(frozen=True)
class StoredCommon(IntervalCommon):
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


def servers(
    text: str, known: Mapping[str, Kind] = KINDS
) -> tuple[list[Kind], list[str]]:
    """The asked-for servers that are installed, and the names of those that are not.

    Raises:
        PerfError: a name is unknown, or nothing asked for is installed.
    """
    names = list(known) if text == "all" else [n.strip() for n in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise PerfError(f"--peers: {unknown[0]!r} is none of all, {', '.join(known)}")
    found = [known[name] for name in names if known[name].version() is not None]
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


def common_of(name: str) -> type[Common]:
    """The options of the workload called ``name`` that it shares with others."""
    hint = get_type_hints(app[name].default_command)["common"]
    (found,) = (kind for kind in get_args(hint) if kind is not type(None))
    assert isinstance(found, type)
    assert issubclass(found, Common)
    return found


def execute(
    common: Common,
    title: str,
    steps: Callable[[Bench], int],
    workload: Callable[[Bench], Result],
) -> int:
    """Set the stage, run, report; 1 when the workload's own bound was missed, or when
    it got worse than what it is compared with."""
    old = prepare(common.outputs(), common.compare, [title])
    kinds, absent = common.kinds()
    raise_open_files()
    congestions = common.congestions()
    if len(congestions) > 1 and not common.several_congestions:
        raise PerfError(f"--congestion: {title} compares none: name one, not several")
    reason = namespace.enter(congestions) if congestions else None

    def bench(folder: Path, advance: Advance) -> Bench:
        return Bench(
            folder=folder,
            kinds=kinds,
            absent=absent,
            congestions=congestions if reason is None else ["system"],
            unpinned_reason=reason,
            server_cpus=server_cpus(common.server_cpu),
            load_cpu=getattr(common, "load_cpu", 0),
            rounds=common.rounds,
            seconds=getattr(common, "seconds", 0),
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
