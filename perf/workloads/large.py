"""``large``: one big hot file, downloaded again and again and discarded.

CPU per GB (10^9 bytes of body) covers whole responses only: at the end of the
interval the sink asks no more, but takes what is on its way.

The congestion controls are compared within one run: before a turn the route of our
namespace gets the case's one, and a connection of the started server is asked what
it really uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from cyclopts import Parameter

from perf import corpus, loaded, namespace
from perf.bench import Bench
from perf.cases import Case, combined
from perf.cli import IntervalCommon, app, execute, numbers
from perf.errors import PerfError
from perf.load import hold, sink
from perf.results import Metric, Result, Sample
from perf.servers import Kind, Running, running

NAME = "large"
WARM_UP_SECONDS = 0.5
METRICS = (
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", digits=1, ratio=True, better="lower"),
    Metric("gb_per_second", "GB/s", "", digits=2, better="higher"),
    Metric("server_cpu_share", "server CPU", "", digits=2),
    Metric("server_core_share", "its core", "", digits=2),
    Metric("load_cpu_share", "sink CPU", "", digits=2),
)


@Parameter(name="*")
@dataclass(frozen=True)
class LargeCommon(IntervalCommon):
    several_congestions: ClassVar[bool] = True
    congestion: str = "cubic,bbr"
    "TCP congestion controls, each a case of its own; system: the machine's own."


@app.command(name=NAME)
def command(
    *,
    sizes: str = f"{corpus.MIB},{100 * corpus.MIB}",
    connections: str = "1,4,16,64",
    common: LargeCommon | None = None,
) -> int:
    """Large hot files: CPU per GB and GB/s.

    Args:
        sizes: Bytes per file.
        connections: How many keep-alive connections.
    """
    bytes_, counts = numbers("sizes", sizes), numbers("connections", connections)
    return execute(
        common or LargeCommon(),
        NAME,
        lambda bench: (
            bench.rounds
            * len(bench.kinds)
            * len(combined(bytes_, counts, bench.congestions))
        ),
        lambda bench: run(bench, combined(bytes_, counts, bench.congestions)),
    )


def run(bench: Bench, cases: Mapping[str, Case]) -> Result:
    """Measure every case.

    Raises:
        PerfError: penstock did not start, failed a request, or ended.
    """
    result = bench.result(NAME, METRICS, "perf.load.sink (MSG_TRUNC)")
    bench.collect(
        result,
        list(cases),
        lambda kind, title, number: _turn(bench, kind, number, cases[title]),
    )
    if any(sample.limited_by == "client" for sample in result.samples):
        result.notes.append("some rounds were limited by the sink: GB/s is its limit")
    return result


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    assert case.congestion is not None
    if bench.unpinned_reason is None:
        namespace.pin(case.congestion)
    path = bench.file(case.size_bytes)
    setup = replace(bench.setup(), body_bytes=case.size_bytes)
    with running(kind, setup, path) as server:
        congestion = _congestion_in_force(server, path, case.congestion)
        order = sink.SinkOrder(server.port, [path], case.connections, WARM_UP_SECONDS)
        done, interval = loaded.by_sink(bench, server, order)
    gigabytes = done.body_bytes / 1e9
    values = {
        "cpu_ms_per_gb": interval.usage.cpu_ns / 1e6 / gigabytes,
        "gb_per_second": gigabytes / done.seconds,
    }
    return interval.sample(kind.name, case.title(), number, values, congestion)


def _congestion_in_force(server: Running, path: str, wanted: str) -> str:
    """What a connection that the server accepted and answered uses.

    Raises:
        PerfError: it is not what was wanted.
    """
    with hold.held(server.port, path) as connection:
        connection.grow(1)
        found = namespace.congestion_of_server(server.port)
    if wanted not in ("system", found):
        raise PerfError(f"its connections use {found} although {wanted} was set")
    return found
