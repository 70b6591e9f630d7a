"""``latency``: how long a request takes at a load that the server can well bear.

Requests come by a fixed schedule (``perf/load/_openloop.pyx``), and latency is counted
from the moment each was due: a server that stalls is asked on, and what piles up
meanwhile counts. First wrk finds each server's saturation; then two cases: half of its
own, and for all the same rate, half of the lowest one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from perf.bench import Bench, measured
from perf.cli import IntervalCommon, app, execute, numbers
from perf.errors import PerfError
from perf.load import openloop, wrk
from perf.results import Limit, Metric, Result, Sample
from perf.servers import Kind, Running, running

NAME = "latency"
OWN, SAME = "half of its own saturation", "the same rate for all"
SATURATION_SECONDS = 2
WARM_UP_SECONDS = 1
LOAD_SHARE = 0.5
OWN_DELAY_SHARE_MAX = 0.1
"""From this share of the P99 on, the generator's own delay spoils it."""
METRICS = (
    Metric("rate_per_second", "requests/s", "", 0),
    Metric("p50_us", "P50", "µs", 1, ratio=True, better="lower"),
    Metric("p99_us", "P99", "µs", 1, ratio=True, better="lower"),
    Metric("p999_us", "P99.9", "µs", 1, ratio=True, better="lower"),
    Metric("max_us", "max", "µs", 0, better="lower"),
    Metric("own_delay_p99_us", "generator's own delay, P99", "µs", 1),
    Metric("load_busy_share", "generator busy", ""),
    Metric("server_cpu_share", "server CPU", ""),
)


@dataclass(frozen=True, slots=True)
class Plan:
    size_bytes: int
    connections: int
    rate: int | None  # requests per second; None: measured
    spin: bool

    def cases(self) -> list[str]:
        return [OWN, SAME] if self.rate is None else [f"{self.rate:,} requests/s"]


@app.command(name=NAME)
def command(
    *,
    size: str = "1024",
    connections: str = "64",
    rate: str | None = None,
    spin: bool = True,
    common: IntervalCommon | None = None,
) -> int:
    """Latency of small files at a fixed rate, free of coordinated omission.

    Args:
        size: Bytes of the file.
        connections: How many keep-alive connections.
        rate: Requests per second of every server, instead of half its saturation.
        spin: Whether the generator polls without a pause; sleeping is less exact.
    """
    plan = Plan(
        one("size", size),
        one("connections", connections),
        None if rate is None else one("rate", rate),
        spin,
    )
    return execute(
        common or IntervalCommon(),
        NAME,
        lambda bench: steps(bench, plan),
        lambda bench: run(bench, plan),
    )


def one(option: str, text: str) -> int:
    """A single positive integer.

    Raises:
        PerfError: it is none, or several.
    """
    found = numbers(option, text)
    if len(found) != 1:
        raise PerfError(f"--{option}: {text!r} is not one positive integer")
    return found[0]


def steps(bench: Bench, plan: Plan) -> int:
    return bench.rounds * len(bench.kinds) * len(plan.cases())


def run(bench: Bench, plan: Plan) -> Result:
    """Measure every case.

    Raises:
        PerfError: penstock did not start, failed a request, stalled or ended.
    """
    result = bench.result(NAME, METRICS, wrk.version() or "wrk absent")
    saturation: dict[str, float] = {}  # of this round; OWN comes first in each
    bench.collect(
        result,
        plan.cases(),
        lambda kind, case, number: _turn(bench, kind, case, number, plan, saturation),
    )
    if any(sample.limited_by == "client" for sample in result.samples):
        result.notes.append(
            "some rounds were limited by the generator: its own delay is more than "
            f"{OWN_DELAY_SHARE_MAX:.0%} of the P99"
        )
    return result


def _turn(
    bench: Bench,
    kind: Kind,
    case: str,
    number: int,
    plan: Plan,
    saturation: dict[str, float],
) -> Sample:
    path = bench.file(plan.size_bytes)
    with running(kind, bench.setup(), path) as server:
        rate = plan.rate or LOAD_SHARE * _base(
            bench, server, case, path, plan, saturation
        )
        order = openloop.Order(
            port=server.port,
            path=path,
            greeting_path=path,
            connections=plan.connections,
            requests=max(1, int(rate * WARM_UP_SECONDS)),
            rate_per_second=rate,
            spin=plan.spin,
        )
        openloop.run(order, {bench.load_cpu})
        order = replace(order, requests=max(1, int(rate * bench.seconds)))
        with measured(server, bench) as usage:
            done = openloop.run(order, {bench.load_cpu})
    usage.server_share = usage.cpu_ns / 1e9 / done.seconds / len(bench.server_cpus)
    return Sample(
        server=kind.name,
        case=case,
        round=number,
        values={"rate_per_second": rate, **figures(done)}
        | {"server_cpu_share": usage.server_share},
        limited_by=limited_by(done),
    )


def _base(
    bench: Bench,
    server: Running,
    case: str,
    path: str,
    plan: Plan,
    saturation: dict[str, float],
) -> float:
    """The saturation that the rate of this case is a share of."""
    if case == SAME:
        return min(saturation.values())
    load = wrk.Load(server.url(path), plan.connections, bench.load_cpu)
    done = wrk.run(load, SATURATION_SECONDS)
    saturation[server.kind] = done.requests / done.seconds
    return saturation[server.kind]


def figures(done: openloop.Run) -> Mapping[str, float]:
    return {
        "p50_us": done.latency_ns.p50 / 1e3,
        "p99_us": done.latency_ns.p99 / 1e3,
        "p999_us": done.latency_ns.p999 / 1e3,
        "max_us": done.latency_ns.maximum / 1e3,
        "own_delay_p99_us": done.lateness_ns.p99 / 1e3,
        "load_busy_share": done.busy_share,
    }


def limited_by(done: openloop.Run) -> Limit:
    """The client, when what it was late itself is too much of what it reports."""
    late = done.lateness_ns.p99 > OWN_DELAY_SHARE_MAX * done.latency_ns.p99
    return "client" if late else "neither"
