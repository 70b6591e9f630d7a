"""CPU time of a server, from the kernel's own accounting.

A process' CPU clock (clock_getcpuclockid(3)) has nanosecond resolution and
covers every thread of the process, those that ended and io_uring's iou-wrk
workers included; /proc/PID/stat would round to 10 ms ticks. Softirq work that
runs on behalf of a send is charged to the sending thread, unless the kernel was
built with CONFIG_IRQ_TIME_ACCOUNTING.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from perf.errors import PerfError

_CPUCLOCK_SCHED = 2  # <linux/posix-timers.h>: sum of the scheduler's run time


def _process_clock(pid: int) -> int:
    """The clock id that clock_getcpuclockid(3) computes for ``pid``."""
    return (~pid << 3) | _CPUCLOCK_SCHED


def parents(proc: Path = Path("/proc")) -> dict[int, int]:
    """Process id -> parent's process id, of every process there is."""
    found: dict[int, int] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:  # it ended while we were looking
            continue
        # The name in parentheses may itself hold spaces and parentheses.
        found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def process_tree(pid: int, parent_of: dict[int, int] | None = None) -> list[int]:
    """``pid`` and all its descendants, parents first."""
    parent_of = parents() if parent_of is None else parent_of
    tree = [pid]
    for member in tree:
        tree.extend(child for child, parent in parent_of.items() if parent == member)
    return tree


class CpuMeter:
    """Counts the CPU time of one server's processes from now on."""

    def __init__(self, pid: int) -> None:
        self._pids = process_tree(pid)
        self._start_wall_ns = time.monotonic_ns()
        self._start_ns = self._read_ns()

    def _read_ns(self) -> int:
        try:
            return sum(time.clock_gettime_ns(_process_clock(p)) for p in self._pids)
        except OSError as error:
            raise PerfError("a server process ended during its measurement") from error

    def cpu_ns(self) -> int:
        """CPU nanoseconds since this meter was made."""
        return self._read_ns() - self._start_ns

    def wall_ns(self) -> int:
        return time.monotonic_ns() - self._start_wall_ns


TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """How long one core was idle until a moment."""

    idle: int  # in ticks
    at_ns: int  # CLOCK_MONOTONIC

    def idle_share_until(self, later: "CoreTimes") -> float:
        """Share of the time between the two readings that the core was idle.

        Of the clock's time, not of all ticks: a kernel without ticks in idle measures
        idle time exactly and samples the rest, and misses work that timers begin.
        """
        ticks = (later.at_ns - self.at_ns) * TICKS_PER_SECOND / 1e9
        return min(1.0, (later.idle - self.idle) / ticks) if ticks >= 1 else 1.0


def core_times(cpu: int, stat: str | None = None) -> CoreTimes:
    """Read one core's times; iowait counts as idle.

    Raises:
        PerfError: there is no such core.
    """
    now_ns = time.monotonic_ns()
    text = Path("/proc/stat").read_text() if stat is None else stat
    for line in text.splitlines():
        name, *fields = line.split()
        if name == f"cpu{cpu}":
            return CoreTimes(int(fields[3]) + int(fields[4]), now_ns)
    raise PerfError(f"this machine has no cpu {cpu}")


@contextmanager
def pinned(cpus: set[int]) -> Iterator[None]:
    """Pin the calling thread, so that what it starts inherits the mask.

    Raises:
        PerfError: a cpu is not available to this process.
    """
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        wanted = ",".join(map(str, sorted(cpus)))
        raise PerfError(f"cannot pin to cpu {wanted}: {error.strerror}") from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
