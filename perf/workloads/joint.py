"""``joint``: does one limit hold for the sum of many connections of one client, over
all engines of a server?

The connections come from one address, which is one client for penstock, one source for
haproxy, one class for HTB; nginx has no such limit. The server has all cores, so that
the client's connections are with several engines, and the load runs beside it.
"""

from dataclasses import dataclass, replace

from cyclopts import Parameter

from perf import corpus, shaped
from perf.bench import Bench
from perf.cli import PeersCommon, app, execute, numbers, servers
from perf.evenness import SLOTS_PER_SECOND, figures
from perf.load import paced
from perf.results import SUBJECT, Metric, Result, Sample, Timeline
from perf.servers import KINDS, SHAPERS, Client, Kind, running

NAME = "joint"
RAMP_NS = 10**9
CONNECTIONS = 64
ERROR_PERCENT_MAX = 0.5
METRICS = (
    Metric("mean_mb_per_second", "mean", "MB/s", 3),
    Metric("error_percent", "error of the sum", "%", 2, better="lower"),
    Metric("jitter_percent", "jitter 100 ms", "%", 1, better="lower"),
    Metric("jitter_1s_percent", "jitter 1 s", "%", 1, better="lower"),
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", 1, ratio=True, better="lower"),
    *shaped.METRICS,
)


@Parameter(name="*")
@dataclass(frozen=True)
class JointCommon(PeersCommon):
    peers: str = "penstock,haproxy-bwlim,nginx-htb"
    "The servers, in the order of their turns; no others limit a sum."
    rounds: int = 1
    "How often every server takes its turn."
    seconds: int = 10
    "Over how long the bytes are counted."
    server_cpu: str = "all"
    "Cores of the server: all is two engines where there are two cores."

    def kinds(self) -> tuple[list[Kind], list[str]]:
        return servers(self.peers, KINDS | SHAPERS)


@app.command(name=NAME)
def command(*, limits: str = "1,16,64", common: JointCommon | None = None) -> int:
    """One client, 64 connections, one limit: the error of the sum. Exit code 1 when
    penstock's is above 0.5 %.

    Args:
        limits: Of the client, MiB per second.
    """
    rates = {f"{n} MiB/s": n * corpus.MIB for n in numbers("limits", limits)}
    return execute(
        common or JointCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(rates),
        lambda bench: run(bench, rates),
    )


def run(bench: Bench, rates: dict[str, int]) -> Result:
    """Measure every limit, in bytes per second by its title.

    Raises:
        PerfError: penstock did not start, failed a request, or ended.
    """
    result = bench.result(NAME, METRICS, "perf.load.paced (MSG_TRUNC)")
    result.bound = f"an error of {ERROR_PERCENT_MAX:g} %"
    bench.collect(
        result,
        list(rates),
        lambda kind, title, number: _turn(bench, kind, number, title, rates[title]),
    )
    return result


def _turn(bench: Bench, kind: Kind, number: int, title: str, rate_bps: int) -> Sample:
    order = paced.PacedOrder(
        port=0,
        path="",
        downloads=CONNECTIONS,
        ramp_ns=RAMP_NS,
        begin_ns=0,
        slots=bench.seconds * SLOTS_PER_SECOND,
        addresses=1,
    )
    seconds = shaped.lead_seconds(order) + bench.seconds
    # As if one connection had a tenth of it all.
    size_bytes = max(corpus.MIB, int(2 * seconds * rate_bps / 10))
    path = bench.file(size_bytes)
    client = Client(paced.source_address(0), None, rate_bps)
    setup = replace(bench.setup(), body_bytes=size_bytes, clients=[client])
    with running(kind, setup, path) as server:
        found = shaped.by_paced(bench, server, replace(order, path=path))
    [row] = found.done.slots
    judged = figures([row], rate_bps)
    values = {key: judged[key] for key in ("jitter_percent", "jitter_1s_percent")}
    values |= {
        "mean_mb_per_second": sum(row) / bench.seconds / 1e6,
        "error_percent": judged["error_percent"],
        "cpu_ms_per_gb": found.usage.cpu_ns / 1e6 / (sum(row) / 1e9),
    }
    to_mb = SLOTS_PER_SECOND / 1e6
    line = {"all connections": [count * to_mb for count in row]}
    limit = {"limit": rate_bps / 1e6}
    return Sample(
        server=kind.name,
        case=title,
        round=number,
        values=values | found.values(),
        limited_by=found.limited_by(),
        passed=(
            values["error_percent"] <= ERROR_PERCENT_MAX
            if kind.name == SUBJECT
            else None
        ),
        timelines=[Timeline("sum", "MB/s", 1 / SLOTS_PER_SECOND, line, limit)],
    )
