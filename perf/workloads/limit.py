"""``limit``: does one client get its limit, no more and no less, however it asks?

Each measure uses a client that has never been seen, known by its bearer token. It
downloads over all its connections as fast as it is let, and counts the bytes of
bodies that it received from the first one on, over an exact interval.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cyclopts import Parameter

from perf import corpus
from perf.bench import Bench
from perf.cases import counted
from perf.cli import LoadedCommon, app, execute, numbers
from perf.errors import PerfError
from perf.load import sink
from perf.results import SUBJECT, Metric, Result, Sample
from perf.servers import Client, running

NAME = "limit"
ERROR_PERCENT_MAX = 1.0
FILE_BYTES = 100 * corpus.MIB
METRICS = (
    Metric("mean_mb_per_second", "mean", "MB/s", digits=3),
    Metric("error_percent", "error", "%", digits=2),
)


@Parameter(name="*")
@dataclass(frozen=True)
class LimitCommon(LoadedCommon):
    rounds: int = 1
    "How often every case is measured, each time by a new client."
    seconds: int = 10
    "Over how long the mean is taken."
    server_cpu: str = "all"
    "Cores of the server: all is two engines where there are two cores."


@app.command(name=NAME)
def command(
    *,
    limits: str = "1,10,100",
    connections: str = "1,4,16,64",
    common: LimitCommon | None = None,
) -> int:
    """One client under a limit: the mean rate it got. Exit code 1 above 1 % error.

    Args:
        limits: MB/s (10^6 bytes per second).
        connections: Over how many connections the client downloads at once.
    """
    rates, counts = numbers("limits", limits), numbers("connections", connections)
    return execute(
        common or LimitCommon(),
        NAME,
        lambda bench: steps(bench, rates, counts),
        lambda bench: run(bench, rates, counts),
    )


def steps(bench: Bench, limits_mb: Sequence[int], connections: Sequence[int]) -> int:
    return bench.rounds * len(limits_mb) * len(connections)


def run(bench: Bench, limits_mb: Sequence[int], connections: Sequence[int]) -> Result:
    """Measure every limit (10^6 bytes per second) with every number of connections.

    Raises:
        PerfError: penstock did not start, failed a request, or ended.
    """
    bench = bench.only(SUBJECT)
    if not bench.kinds:
        raise PerfError(f"this workload needs {SUBJECT}, which is not built")
    result = bench.result(
        NAME, METRICS, "perf.load.sink (MSG_TRUNC)", load_pinned=False
    )
    cases = {
        f"{limit} MB/s, {counted(count)}": (limit, count)
        for limit in limits_mb
        for count in connections
    }
    path = bench.file(FILE_BYTES)
    for kind in bench.kinds:
        clients = {
            (number, case): Client(
                f"m{number}_{index}", secrets.token_hex(16), limit * 10**6
            )
            for number in range(bench.rounds)
            for index, (case, (limit, _)) in enumerate(cases.items())
        }
        setup = replace(
            bench.setup(), body_bytes=FILE_BYTES, clients=list(clients.values())
        )
        with running(kind, setup, path) as server:
            for number, case, _ in bench.turns(list(cases)):
                limit, count = cases[case]
                order = sink.SinkOrder(
                    port=server.port,
                    paths=[path],
                    connections=count,
                    seconds=float(bench.seconds),
                    token=clients[number, case].token,
                    finish=False,
                )
                done = sink.run(order, {*bench.server_cpus, bench.load_cpu})
                result.samples.append(judge(case, number, limit, done))
    return result


def judge(case: str, number: int, limit_mb: int, done: sink.SinkRun) -> Sample:
    """Compare what arrived with the limit."""
    mean = done.body_bytes / 1e6 / done.seconds
    error = 100.0 * (mean - limit_mb) / limit_mb
    return Sample(
        server=SUBJECT,
        case=case,
        round=number,
        values={"mean_mb_per_second": mean, "error_percent": error},
        passed=abs(error) <= ERROR_PERCENT_MAX,
    )
