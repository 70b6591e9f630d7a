"""The open-loop load: a fixed schedule of requests, latency from when each was due.

The compiled part is ``_openloop.pyx``. It runs in a process of its own, pinned, with
its connections open and used once before the schedule begins.
"""

import sys
from array import array
from dataclasses import asdict, dataclass
from math import inf
from statistics import fmean

from perf.errors import PerfError
from perf.load import apart, hold
from perf.load.http import get
from perf.stats import Quantiles, quantiles

STALL_SECONDS = 20.0
"""Without a byte on any connection for so long, the run has failed."""
_GRACE_SECONDS = 120.0
_TIMER_SLACK_NS = 1
_PR_SET_TIMERSLACK = 29


@dataclass(frozen=True, slots=True)
class Order:
    port: int
    path: str
    greeting_path: str  # asked for once over every connection before
    connections: int
    requests: int
    rate_per_second: float | None  # None: all are due at once
    spin: bool = False
    """Poll without a pause instead of sleeping until the next event or due time."""


@dataclass(frozen=True, slots=True)
class Run:
    latency_ns: Quantiles  # completion − due
    mean_ns: float
    lateness_ns: Quantiles  # sent − due, or − freed where no connection was free
    seconds: float  # from the first due time to the last answer
    busy_share: float  # of that time the generator did not wait


def load(order: Order) -> Run:
    """Run the order in this process.

    Raises:
        PerfError: a connection was not served, or the harness is not compiled.
        OSError: a connection failed.
    """
    try:
        from perf.load import _openloop
    except ImportError as error:
        raise PerfError("the load is not compiled: run ./dev build") from error
    hold.connections_allowed()
    precise_timers()
    request = get(order.path)
    latency, lateness = (array("q", bytes(8 * order.requests)) for _ in range(2))
    with hold.held(order.port, order.greeting_path) as connections:
        connections.grow(order.connections)
        size = hold.exchange(connections.sockets[0], request)
        for sock in connections.sockets:
            sock.setblocking(False)
        elapsed_ns, idle_ns = _openloop.run(
            [sock.fileno() for sock in connections.sockets],
            request,
            size,
            inf if order.rate_per_second is None else order.rate_per_second,
            latency,
            lateness,
            order.spin,
            int(STALL_SECONDS * 1e9),
        )
    return Run(
        latency_ns=quantiles(latency),
        mean_ns=fmean(latency),
        lateness_ns=quantiles(lateness),
        seconds=elapsed_ns / 1e9,
        busy_share=1.0 - idle_ns / elapsed_ns,
    )


def precise_timers() -> None:
    """The kernel may delay a sleeper by 50 µs; not this one (PR_SET_TIMERSLACK)."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _TIMER_SLACK_NS, 0, 0, 0)


def run(order: Order, cpus: set[int]) -> Run:
    """Run the order in a process of its own on ``cpus``.

    Raises:
        PerfError: the load failed; with its reason.
    """
    seconds = order.requests / (order.rate_per_second or inf)
    found = apart.run(
        "perf.load.openloop", asdict(order), cpus, seconds + _GRACE_SECONDS
    )
    for key in ("latency_ns", "lateness_ns"):
        found[key] = Quantiles(**found[key])
    return Run(**found)


if __name__ == "__main__":
    sys.exit(apart.answer(lambda order: asdict(load(Order(**order)))))
