"""One server under paced readers: begun, settled, measured. What the workloads that
judge a shaper have in common."""

import re
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from perf.bench import Bench, Usage, measured
from perf.load import paced
from perf.results import Limit, Metric
from perf.servers import Running

START_SECONDS = 1.0  # of the load's process
SETTLE_SECONDS = 3.0
"""After the last download began: free first seconds and full buckets are used up."""
LATE_NS_MAX = paced.SLOT_NS // 4
"""A load that is later than this has put bytes into the wrong slot."""
METRICS = (
    Metric("wakeups_per_second", "wake-ups/s", "", 0),
    Metric("loops_per_second", "loops/s", "", 0),
    Metric("sensing_percent", "sensing", "% of a core", 2),
    Metric("server_cpu_share", "server CPU", "", 2),
    Metric("load_cpu_share", "load CPU", "", 2),
    Metric("late_ms", "load late", "ms", 1),
)


Do = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done while bytes flow."""

    at_ns: int  # since the interval began
    do: Do


class Told(NamedTuple):
    """Sums over all engines, from a page of metrics."""

    loops: float
    sensing_seconds: float

    @classmethod
    def by(cls, page: str) -> "Told":
        return cls(*(total(page, f"{name}_total") for name in cls._fields))


@dataclass(frozen=True, slots=True)
class Shaped:
    """What both sides did in the interval."""

    done: paced.PacedRun
    usage: Usage
    told: Told | None
    """What penstock's metrics grew by; other servers do not say."""
    acts_ns: Sequence[int]
    """When each act was begun, since the interval began."""

    def values(self) -> dict[str, float]:
        """The figures of ``METRICS``."""
        seconds = self.usage.wall_ns / 1e9
        found = {
            "wakeups_per_second": self.usage.wakeups / seconds,
            "server_cpu_share": self.usage.server_share,
            "load_cpu_share": self.load_share(),
            "late_ms": self.done.late_ns / 1e6,
        }
        if self.told is not None:
            found["loops_per_second"] = self.told.loops / seconds
            found["sensing_percent"] = 100 * self.told.sensing_seconds / seconds
        return found

    def load_share(self) -> float:
        return self.done.cpu_ns / self.usage.wall_ns

    def limited_by(self, late_ns_max: int = LATE_NS_MAX) -> Limit:
        """The client, also when it came too late once."""
        if self.done.late_ns > late_ns_max:
            return "client"
        return self.usage.limited_by(self.load_share())

    def body_bytes(self) -> int:
        return sum(map(sum, self.done.slots))


def lead_seconds(order: paced.PacedOrder) -> float:
    """How long before its interval an order must be carried out."""
    return START_SECONDS + order.ramp_ns / 1e9 + SETTLE_SECONDS


def by_paced(
    bench: Bench, server: Running, order: paced.PacedOrder, acts: Sequence[Act] = ()
) -> Shaped:
    """Carry out the order, which is told here when to begin and where the server is.

    Raises:
        PerfError: a download failed, or the server ended.
    """
    begin_ns = time.monotonic_ns() + int(lead_seconds(order) * 1e9)
    order = replace(
        order,
        port=server.port,
        host=server.host,
        network=server.readers,
        begin_ns=begin_ns,
    )
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(paced.run, order, {bench.load_cpu})
        paced.sleep_until(begin_ns)
        before = _told(server)
        with measured(server, bench) as usage:
            times = [_act(act, begin_ns) for act in acts]
            paced.sleep_until(begin_ns + order.slots * order.slot_ns)
        after = _told(server)
        grew = None
        if before is not None and after is not None:
            grew = Told(*(b - a for a, b in zip(before, after, strict=True)))
        return Shaped(future.result(), usage, grew, times)


def _act(act: Act, begin_ns: int) -> int:
    paced.sleep_until(begin_ns + act.at_ns)
    now_ns = time.monotonic_ns() - begin_ns
    act.do()
    return now_ns


def _told(server: Running) -> Told | None:
    if server.admin_port is None:
        return None
    url = f"http://127.0.0.1:{server.admin_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return Told.by(answer.read().decode())


def total(page: str, name: str) -> float:
    """Of all series whose name ends with this one."""
    lines = re.findall(rf"^\w*{name}(?:{{[^}}]*}})? (\S+)", page, re.MULTILINE)
    return sum(map(float, lines))
