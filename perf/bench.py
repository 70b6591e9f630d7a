"""What every workload needs: the place, the servers, the order of the turns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from perf import corpus, machine
from perf.cpu import CpuMeter, core_times
from perf.errors import PerfError
from perf.results import SUBJECT, Limit, Metric, Result, Sample
from perf.servers import Kind, Running, Setup
from perf.wakeups import sleeps

BUSY_SHARE = 0.95
"""From this share of a core on, a side counts as out of CPU."""

Row = TypeVar("Row")

Turn = Callable[[Kind, str, int], Sample]
"""Measures one server in one case; the number is the round's."""

Advance = Callable[[int, str], None]
"""Called with the steps done since the last call and what happens next."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One run's circumstances."""

    folder: Path  # served by every server
    kinds: Sequence[Kind]  # the installed ones, in turn order
    absent: Sequence[str]  # asked for, but not installed
    congestions: Sequence[str]  # TCP; most workloads use one; none without connections
    unpinned_reason: str | None  # why it is the machine's own, not what was asked for
    server_cpus: Sequence[int]
    load_cpu: int  # means nothing without a load
    rounds: int
    seconds: int  # of one interval; 0 where the workload has none
    advance: Advance

    def file(self, size_bytes: int) -> str:
        return corpus.make(self.folder, size_bytes)

    def setup(self) -> Setup:
        return Setup(self.folder, self.server_cpus)

    def result(
        self,
        workload: str,
        metrics: Sequence[Metric],
        load: str,
        *,
        load_pinned: bool = True,
    ) -> Result:
        """An empty result with this run's facts; ``load`` names the generator."""
        versions = {kind.name: kind.version() or "absent" for kind in self.kinds}
        facts = machine.describe(
            connected=bool(self.congestions),
            pinned=self.unpinned_reason is None and "system" not in self.congestions,
            server_cpus=self.server_cpus,
            load_cpu=self.load_cpu if load_pinned else None,
            versions={**versions, "load": load},
        )
        if len(self.congestions) > 1:
            names = " and ".join(self.congestions)
            facts = replace(facts, congestion_control=f"{names}, by case")
        notes = [f"{name} is absent: not installed" for name in self.absent]
        if self.unpinned_reason is not None:
            notes.append(
                "congestion control not pinned, the machine's is used: "
                f"{self.unpinned_reason}"
            )
        if load_pinned and self.load_cpu in self.server_cpus:
            notes.append("load and server share a core: figures are not comparable")
        return Result(
            workload, facts, metrics, notes=notes, seconds=self.seconds or None
        )

    def only(self, name: str) -> "Bench":
        return replace(self, kinds=[kind for kind in self.kinds if kind.name == name])

    def turns(self, cases: Sequence[str]) -> Iterator[tuple[int, str, Kind]]:
        """Round, case, server; the servers alternate, so that all share the noise."""
        kinds = dict.fromkeys(cases, self.kinds)
        return self._in_turn(kinds, lambda kind: kind.name)

    def rows_in_turn(
        self, cases: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[int, str, str]]:
        """As ``turns``, for what is no server: round, case, row of that case."""
        return self._in_turn(cases, str)

    def _in_turn(
        self, cases: Mapping[str, Sequence[Row]], name: Callable[[Row], str]
    ) -> Iterator[tuple[int, str, Row]]:
        for number in range(self.rounds):
            for case, rows in cases.items():
                for row in rows:
                    self.advance(0, f"round {number + 1}, {case}, {name(row)}")
                    yield number, case, row
                    self.advance(1, "")

    def collect(self, result: Result, cases: Sequence[str], turn: Turn) -> None:
        """Take every turn's sample into ``result``.

        A peer that fails a case is left out of it from then on, and a note says why:
        what a server cannot do is a finding, too.

        Raises:
            PerfError: the subject itself failed.
        """
        left_out: set[tuple[str, str]] = set()
        failed: dict[tuple[str, str], list[str]] = {}
        for number, case, kind in self.turns(cases):
            if (kind.name, case) in left_out:
                continue
            try:
                result.samples.append(turn(kind, case, number))
            except PerfError as error:
                if kind.name == SUBJECT:
                    raise
                left_out.add((kind.name, case))
                failed.setdefault((kind.name, str(error)), []).append(case)
        for (name, reason), where in failed.items():
            which = "every case" if len(where) == len(cases) else "; ".join(where)
            result.notes.append(f"{name}, {which}: {reason}")


@dataclass(slots=True)
class Usage:
    """CPU of both sides over one measured interval."""

    cpu_ns: int = 0  # of the server's processes
    server_share: float = 0.0  # of the cores it may use
    server_core_share: float = 0.0  # of the same cores, whoever used them
    core_idle_share: float = 1.0  # of the load's core, whoever used it
    wakeups: int = 0  # of the server's threads
    wall_ns: int = 0

    def limited_by(self, load_share: float) -> Limit:
        """Who ran out of CPU: the client counts first, it would hide the server."""
        if max(load_share, 1.0 - self.core_idle_share) >= BUSY_SHARE:
            return "client" if self.server_share < BUSY_SHARE else "server"
        return "server" if self.server_share >= BUSY_SHARE else "neither"


@contextmanager
def measured(server: Running, bench: Bench) -> Iterator[Usage]:
    """Fill a Usage with what happens inside the block."""
    usage = Usage()
    wakeups = sleeps(server.pid)
    load_core = core_times(bench.load_cpu)
    server_cores = [core_times(cpu) for cpu in bench.server_cpus]
    meter = CpuMeter(server.pid)
    yield usage
    usage.cpu_ns, usage.wall_ns = meter.cpu_ns(), meter.wall_ns()
    usage.wakeups = sleeps(server.pid) - wakeups
    usage.server_share = usage.cpu_ns / (usage.wall_ns * len(bench.server_cpus))
    usage.core_idle_share = load_core.idle_share_until(core_times(bench.load_cpu))
    usage.server_core_share = 1.0 - fmean(
        before.idle_share_until(core_times(cpu))
        for cpu, before in zip(bench.server_cpus, server_cores, strict=True)
    )
