"""``large``: one big hot file, downloaded again and again and discarded.

CPU per GB (10^9 bytes of body) covers whole responses only: at the end of the
interval the sink asks no more, but takes what is on its way.
"""

from collections.abc import Sequence
from dataclasses import replace

from perf import corpus
from perf.bench import Bench, measured
from perf.cli import Common, app, execute, numbers
from perf.load import sink
from perf.results import Metric, Result, Sample
from perf.servers import Kind, running

NAME = "large"
WARM_UP_SECONDS = 0.5
METRICS = (
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", digits=1, ratio=True),
    Metric("gb_per_second", "GB/s", "", digits=2),
    Metric("server_cpu_share", "server CPU", "", digits=2),
    Metric("server_core_share", "its core", "", digits=2),
    Metric("load_cpu_share", "sink CPU", "", digits=2),
)


@app.command(name=NAME)
def command(
    *,
    sizes: str = str(100 * corpus.MIB),
    connections: str = "1,16",
    common: Common | None = None,
) -> int:
    """Large hot files: CPU per GB and GB/s.

    Args:
        sizes: Bytes per file.
        connections: How many keep-alive connections.
    """
    bytes_, counts = numbers("sizes", sizes), numbers("connections", connections)
    return execute(
        common or Common(),
        NAME,
        lambda bench: steps(bench, bytes_, counts),
        lambda bench: run(bench, bytes_, counts),
    )


def steps(bench: Bench, sizes: Sequence[int], connections: Sequence[int]) -> int:
    return bench.rounds * len(bench.kinds) * len(sizes) * len(connections)


def run(bench: Bench, sizes: Sequence[int], connections: Sequence[int]) -> Result:
    """Measure every size with every number of connections.

    Raises:
        PerfError: a server did not start, failed a request, or ended.
    """
    result = bench.result(NAME, METRICS, "perf.load.sink (MSG_TRUNC)")
    cases = {
        f"{corpus.title(size)}, {count} connection{'s' * (count > 1)}": (size, count)
        for size in sizes
        for count in connections
    }
    for number, case, kind in bench.turns(list(cases)):
        size, count = cases[case]
        result.samples.append(_turn(bench, kind, case, number, size, count))
    if any(sample.limited_by == "client" for sample in result.samples):
        result.notes.append("some rounds were limited by the sink: GB/s is its limit")
    return result


def _turn(
    bench: Bench, kind: Kind, case: str, number: int, size: int, connections: int
) -> Sample:
    path = bench.file(size)
    with running(kind, replace(bench.setup(), body_bytes=size), path) as server:
        order = sink.SinkOrder(server.port, path, connections, WARM_UP_SECONDS)
        sink.run(order, {bench.load_cpu})
        with measured(server, bench) as usage:
            done = sink.run(
                replace(order, seconds=float(bench.seconds)), {bench.load_cpu}
            )
    gigabytes = done.body_bytes / 1e9
    load_share = done.cpu_ns / done.wall_ns
    usage.server_share = usage.cpu_ns / 1e9 / done.seconds / len(bench.server_cpus)
    return Sample(
        server=kind.name,
        case=case,
        round=number,
        values={
            "cpu_ms_per_gb": usage.cpu_ns / 1e6 / gigabytes,
            "gb_per_second": gigabytes / done.seconds,
            "server_cpu_share": usage.server_share,
            "server_core_share": usage.server_core_share,
            "load_cpu_share": load_share,
        },
        limited_by=usage.limited_by(load_share),
    )
