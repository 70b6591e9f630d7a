"""``small``: files that fit into memory, keep-alive, as fast as one core serves them.

Each turn starts the server anew, warms it up, then lets wrk ask for one file over
all connections. CPU per request covers exactly wrk's measured run.
"""

from collections.abc import Mapping
from dataclasses import replace

from perf import loaded
from perf.bench import Bench
from perf.cases import Case, combined
from perf.cli import IntervalCommon, app, execute, numbers
from perf.load import hold, wrk
from perf.results import Metric, Result, Sample
from perf.servers import Kind, running

NAME = "small"
WARM_UP_SECONDS = 1
METRICS = (
    Metric("cpu_us_per_request", "CPU per request", "µs", ratio=True, better="lower"),
    Metric("requests_per_second", "requests/s", "", digits=0, better="higher"),
    Metric("server_cpu_share", "server CPU", "", digits=2),
    Metric("server_core_share", "its core", "", digits=2),
    Metric("load_cpu_share", "wrk CPU", "", digits=2),
)


@app.command(name=NAME)
def command(
    *,
    sizes: str = "1024",
    connections: str = "64",
    common: IntervalCommon | None = None,
) -> int:
    """Small files over keep-alive connections: CPU per request and requests/s.

    Args:
        sizes: Bytes per file, for example 1024,16384,65536.
        connections: How many keep-alive connections, for example 1,64,512,4096.
    """
    cases = combined(numbers("sizes", sizes), numbers("connections", connections))
    return execute(
        common or IntervalCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(cases),
        lambda bench: run(bench, cases),
    )


def run(bench: Bench, cases: Mapping[str, Case]) -> Result:
    """Measure every size with every number of connections.

    Raises:
        PerfError: penstock did not start, failed requests, or ended; or so many
            connections are more than the limit of open files allows.
    """
    hold.check(max(case.connections for case in cases.values()))
    result = bench.result(NAME, METRICS, wrk.version() or "wrk absent")
    bench.collect(
        result,
        list(cases),
        lambda kind, title, number: _turn(bench, kind, number, cases[title]),
    )
    if any(sample.limited_by == "client" for sample in result.samples):
        result.notes.append(
            "some rounds were limited by wrk: their requests/s are wrk's limit; "
            "CPU per request is the server's own, taken below its saturation"
        )
    return result


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    path = bench.file(case.size_bytes)
    setup = replace(
        bench.setup(),
        body_bytes=case.size_bytes,
        connections=max(1024, 2 * case.connections),
    )
    with running(kind, setup, path) as server:
        load = wrk.Load(server.url(path), case.connections, bench.load_cpu)
        done, interval = loaded.by_wrk(bench, server, load, WARM_UP_SECONDS)
    values = {
        "cpu_us_per_request": interval.usage.cpu_ns / 1e3 / done.requests,
        "requests_per_second": done.requests / done.seconds,
    }
    return interval.sample(kind.name, case.title(), number, values)
