"""``idle``: what an idle keep-alive connection costs the server in user memory.

Every connection is served one request and then kept. The resident set of all the
server's processes is read before and after; kernel memory is not part of it. The
figure starts from a server that has already served, so that what it sets up once
(caches, tables) is not counted as a connection.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cyclopts import Parameter

from perf.bench import Bench
from perf.cli import PeersCommon, app, execute, numbers
from perf.cpu import process_tree
from perf.errors import PerfError
from perf.load import hold
from perf.results import Metric, Result, Sample
from perf.servers import Kind, running

NAME = "idle"
FILE_BYTES = 1024
BASELINE_CONNECTIONS = 64
SETTLE_SECONDS = 1.0
METRICS = (
    Metric(
        "rss_bytes_per_connection",
        "RSS per connection",
        "B",
        0,
        ratio=True,
        better="lower",
    ),
    Metric("rss_before_mib", "RSS before", "MiB", 1),
    Metric("rss_after_mib", "RSS after", "MiB", 1),
    Metric("connections", "idle connections", "", 0),
)


@Parameter(name="*")
@dataclass(frozen=True)
class IdleCommon(PeersCommon):
    rounds: int = 3
    "How often every server takes its turn."


@app.command(name=NAME)
def command(
    *, connections: str = "1000,10000", common: IdleCommon | None = None
) -> int:
    """Idle keep-alive connections: user memory of the server for each.

    Args:
        connections: How many are kept open, for example 1000,10000.
    """
    counts = numbers("connections", connections)
    return execute(
        common or IdleCommon(),
        NAME,
        lambda bench: steps(bench, counts),
        lambda bench: run(bench, counts),
    )


def steps(bench: Bench, connections: Sequence[int]) -> int:
    return bench.rounds * len(bench.kinds) * len(connections)


def run(bench: Bench, connections: Sequence[int]) -> Result:
    """Measure every number of connections.

    Raises:
        PerfError: penstock did not serve a connection, or the limit of open files
            does not allow so many.
    """
    hold.check(max(connections))
    result = bench.result(NAME, METRICS, "perf.load.hold")
    cases = {f"{count} connections": count for count in connections}
    bench.collect(
        result,
        list(cases),
        lambda kind, case, number: _turn(bench, kind, case, number, cases[case]),
    )
    return result


def _turn(bench: Bench, kind: Kind, case: str, number: int, count: int) -> Sample:
    path = bench.file(FILE_BYTES)
    setup = replace(bench.setup(), connections=count + 1024)
    with (
        running(kind, setup, path) as server,
        hold.held(server.port, path) as connections,
    ):
        connections.grow(BASELINE_CONNECTIONS)
        time.sleep(SETTLE_SECONDS)
        before = tree_rss_bytes(server.pid)
        connections.grow(BASELINE_CONNECTIONS + count)
        time.sleep(SETTLE_SECONDS)
        after = tree_rss_bytes(server.pid)
        connections.grow(BASELINE_CONNECTIONS + count + 1)  # one more is served
        connections.exchange_again(0)  # and the oldest one still is
    return Sample(
        server=kind.name,
        case=case,
        round=number,
        values={
            "rss_bytes_per_connection": (after - before) / count,
            "rss_before_mib": before / 2**20,
            "rss_after_mib": after / 2**20,
            "connections": count,
        },
    )


def tree_rss_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants, from smaps_rollup: exact,
    where VmRSS is an estimate. Pages shared by master and worker count twice, but
    as much before as after."""
    return sum(
        rss_bytes(Path(f"/proc/{member}/smaps_rollup").read_text())
        for member in process_tree(pid)
    )


def rss_bytes(smaps_rollup: str) -> int:
    for line in smaps_rollup.splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise PerfError("the kernel does not report Rss in smaps_rollup")
