"""``bucket``: what one decision of the shaper costs, while many transfers are parked.

The engine's own gate, queues, buckets and timing wheel on a simulated clock
(``pyx/_shaper.pyx``): nothing is sent and nothing sleeps. A decision is ``gate_pass``
with a grant, the dearest of its answers: it charges the client's bucket and the
server's. Throughput is measured without a clock between decisions; single decisions
are timed with a clock read before and after, and the median cost of reading the clock
is subtracted.
"""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclopts import Parameter

from perf.bench import Bench
from perf.cli import Common, app, execute, numbers
from perf.cpu import pinned
from perf.errors import PerfError
from perf.results import SUBJECT, Metric, Result, Sample
from perf.stats import Quantiles, quantiles

if TYPE_CHECKING:
    from perf._shaper import Shaper

NAME = "bucket"
TARGET_DECISIONS_PER_S = 20e6
TARGET_P99_NS = 1000.0
CLIENT_BPS, TOTAL_BPS = 10**6, 10**12
# Simulated time between two grants to one client: what a quantum of 25 ms needs.
BETWEEN_GRANTS_NS = 30_000_000
BETWEEN_GRANTS_MIN_NS = 100  # all clients: 25 kB of the total rate take 25 ns
WARM_UP, TIMED = 200_000, 1_000_000
SLICE = 500_000  # decisions between two looks at the time that is left
WAKES = "parked transfers woken in random order"
METRICS = (
    Metric("million_per_second", "decisions per second", "10⁶", 1, better="higher"),
    Metric("p50_ns", "P50", "ns", 0, better="lower"),
    Metric("p99_ns", "P99", "ns", 0, better="lower"),
    Metric("p999_ns", "P99.9", "ns", 0, better="lower"),
    Metric("max_us", "max", "µs", 0, better="lower"),
    Metric("parked", "parked", "", 0),
    Metric("clock_ns", "clock, subtracted", "ns", 0),
)
REFERENCE = (
    "for comparison, the figures that this workload was set against: 128,000 "
    "decisions per second, 83 µs; targets: 20 million per second, P99 at most 1 µs"
)


@Parameter(name="*")
@dataclass(frozen=True)
class BucketCommon(Common):
    seconds: int = 1
    "Length of one measured interval of throughput."


@app.command(name=NAME)
def command(
    *,
    clients: str = "1,1000,100000",
    parked: int = 100_000,
    common: BucketCommon | None = None,
) -> int:
    """The shaper's decisions: how many per second, how long one takes. Exit code 1
    when a case misses a target.

    Args:
        clients: How many clients ask, one after the other in random order.
        parked: Transfers of other clients that are parked meanwhile, a timer each.
    """
    counts = numbers("clients", clients)
    if parked < 1:
        raise PerfError(f"--parked: {parked} is not a positive integer")
    return execute(
        common or BucketCommon(),
        NAME,
        lambda bench: bench.rounds * (len(counts) + 1),
        lambda bench: run(bench, counts, parked),
    )


def run(bench: Bench, clients: Sequence[int], parked: int) -> Result:
    """Measure grants to every number of clients, and wakes.

    Raises:
        PerfError: the harness is not compiled.
    """
    result = bench.result(NAME, METRICS, "a simulated clock", load_pinned=False)
    result.bound = "20 million decisions per second and a P99 of 1 µs"
    result.notes.append(REFERENCE)
    result.notes.append(
        f"{WAKES}: a decision there is a whole cycle of timer, grant, refusal and "
        "parking again"
    )
    cases = {title(n): n for n in clients} | {WAKES: 0}
    for number, case, _ in bench.rows_in_turn({case: [SUBJECT] for case in cases}):
        with pinned({bench.server_cpus[0]}):
            values = measure(cases[case], parked, bench.seconds)
        result.samples.append(judge(case, number, values))
    return result


def title(clients: int) -> str:
    return "one hot client" if clients == 1 else f"{clients:,} clients, random order"


def judge(case: str, number: int, values: dict[str, float]) -> Sample:
    """Compare with the targets."""
    return Sample(
        server=SUBJECT,
        case=case,
        round=number,
        values=values,
        passed=values["million_per_second"] >= TARGET_DECISIONS_PER_S / 1e6
        and values["p99_ns"] <= TARGET_P99_NS,
    )


def measure(clients: int, parked: int, seconds: float) -> dict[str, float]:
    """One case: ``clients`` that ask, or 0 for those that are parked and woken.

    Raises:
        PerfError: the harness is not compiled.
    """
    try:
        from perf import _shaper
    except ImportError as error:
        raise PerfError("the shaper is not compiled: run ./dev build") from error
    shaper = _shaper.Shaper(clients, shuffled(parked), CLIENT_BPS, TOTAL_BPS)
    decide = Grants(shaper, clients) if clients else Wakes(shaper)
    decide.many(WARM_UP)
    count = elapsed_ns = 0
    while elapsed_ns < seconds * 1e9:
        took_ns, done = decide.many(SLICE)
        elapsed_ns += took_ns
        count += done
    took, clock = samples(TIMED), samples(TIMED)
    decide.timed(took)
    _shaper.clock_times(clock)
    held, timers = shaper.parked
    if (held, timers) != (parked, parked):
        raise PerfError(f"{held} of {parked} transfers were parked at the end")
    return {
        "million_per_second": count / elapsed_ns * 1e3,
        **figures(quantiles(took), quantiles(clock).p50),
        "parked": held,
    }


@dataclass(slots=True)
class Grants:
    """Grants to clients that do not wait, in one random order again and again."""

    shaper: "Shaper"
    clients: int

    def many(self, count: int) -> tuple[int, int]:
        """Nanoseconds of at least ``count`` decisions, and how many there were."""
        return self.shaper.grants(self._order(), count, self._step_ns())

    def timed(self, took_ns: "array[int]") -> None:
        self.shaper.grant_times(self._order(), took_ns, self._step_ns())

    def _order(self) -> "array[int]":
        return shuffled(self.clients)

    def _step_ns(self) -> int:
        return max(2 * BETWEEN_GRANTS_NS // self.clients, BETWEEN_GRANTS_MIN_NS)


@dataclass(slots=True)
class Wakes:
    """Grants to those that wait, when their timers fire."""

    shaper: "Shaper"

    def many(self, count: int) -> tuple[int, int]:
        return self.shaper.wakes(count)

    def timed(self, took_ns: "array[int]") -> None:
        self.shaper.wake_times(took_ns)


def shuffled(count: int) -> "array[int]":
    """The numbers below ``count`` in an order that is the same in every run."""
    order = list(range(count))
    random.Random(count).shuffle(order)
    return array("I", order)


def samples(count: int) -> "array[int]":
    return array("q", bytes(8 * count))


def figures(took: Quantiles, clock_ns: float) -> dict[str, float]:
    """Without the clock's own part."""
    return {
        "p50_ns": max(0.0, took.p50 - clock_ns),
        "p99_ns": max(0.0, took.p99 - clock_ns),
        "p999_ns": max(0.0, took.p999 - clock_ns),
        "max_us": (took.maximum - clock_ns) / 1e3,
        "clock_ns": clock_ns,
    }
