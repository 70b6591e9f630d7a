"""``pinning``: many downloads at once; a thread for each, or few threads for all.

Every connection is open and was served once. Then each asks for the file at the same
moment, and a download's latency is counted from that moment to its last byte. Whether a
server's threads are pinned is set from outside for all of them alike: one core each in
turn, or all cores for each. penstock pins its engines by itself; unpinned undoes that.

The load has a core's share of the server's cores, too: with two cores there is no
other place, and the server must have both for pinning to mean anything.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cyclopts import Parameter

from perf import affinity, corpus
from perf.bench import Bench
from perf.cli import LoadedCommon, app, execute, numbers
from perf.counters import CacheCounters
from perf.errors import PerfError
from perf.load import hold, openloop
from perf.results import SUBJECT, Metric, Result, Sample
from perf.servers import KINDS, Kind, running
from perf.servers.httpd import Httpd

NAME = "pinning"
GREETING_BYTES = 1024
SETTLE_SECONDS = 1.0
MODELS: dict[str, Kind] = {
    SUBJECT: KINDS[SUBJECT],
    "httpd": Httpd(),
}
PINNED, UNPINNED = "pinned", "unpinned"
METRICS = (
    Metric("mean_ms", "mean latency", "ms", 0, ratio=True, better="lower"),
    Metric("p99_ms", "P99", "ms", 0, ratio=True, better="lower"),
    Metric("max_ms", "max", "ms", 0, better="lower"),
    Metric("gb_per_second", "GB/s", "", better="higher"),
    Metric("threads", "threads", "", 0),
    Metric("cache_hit_percent", "cache hits", "%", 1, better="higher"),
)


@Parameter(name="*")
@dataclass(frozen=True)
class PinningCommon(LoadedCommon):
    rounds: int = 3
    "How often every row takes its turn."
    server_cpu: str = "all"
    "Cores of the server: all is two engines where there are two cores."


@app.command(name=NAME)
def command(
    *,
    connections: str = "10000",
    size: int = 256 * corpus.KIB,
    common: PinningCommon | None = None,
) -> int:
    """Concurrent downloads: a thread for each connection against M:N, pinned and not.

    Args:
        connections: How many download at once.
        size: Bytes of the file.
    """
    counts = numbers("connections", connections)
    if size < 1:
        raise PerfError(f"--size: {size} is not a positive integer")
    models = {name: kind for name, kind in MODELS.items() if kind.version()}
    return execute(
        common or PinningCommon(),
        NAME,
        lambda bench: bench.rounds * len(counts) * len(rows(models)),
        lambda bench: run(bench, counts, size, models),
    )


def rows(models: dict[str, Kind]) -> list[str]:
    return [f"{name}, {how}" for name in models for how in (PINNED, UNPINNED)]


def run(
    bench: Bench, connections: Sequence[int], size: int, models: dict[str, Kind]
) -> Result:
    """Measure every number of connections with every model, pinned and not.

    Raises:
        PerfError: a server did not hold the connections, or the limit of open files
            does not allow so many.
    """
    hold.check(max(connections))
    bench = replace(bench, kinds=list(models.values()), absent=[])
    result = bench.result(NAME, METRICS, "perf.load.openloop", load_pinned=False)
    result.subject = rows(models)[0]
    result.notes.append(
        f"{SUBJECT}: few threads for all connections (M:N); httpd with mpm_worker: a "
        "thread for each"
    )
    result.notes += [f"{name} is absent" for name in MODELS if name not in models]
    if set(range(result.machine.cpus)) == set(bench.server_cpus):
        result.notes.append("the load runs on the server's cores: there is no other")
    cases = {
        f"{count:,} × {corpus.title(size)} at once": count for count in connections
    }
    for number, case, row in bench.rows_in_turn(dict.fromkeys(cases, rows(models))):
        name, _, how = row.rpartition(", ")
        sample, reason = _turn(bench, models[name], cases[case], size, how == PINNED)
        result.samples.append(Sample(row, case, number, sample))
        note = f"cache hits: {reason}"
        if reason is not None and note not in result.notes:
            result.notes.append(note)
    return result


def _turn(
    bench: Bench, kind: Kind, count: int, size: int, pinned: bool
) -> tuple[dict[str, float], str | None]:
    """Figures, and why the cache was not counted."""
    path, greeting = bench.file(size), bench.file(GREETING_BYTES)
    setup = replace(bench.setup(), connections=count + 1024, body_bytes=size)
    with running(kind, setup, greeting) as server:
        time.sleep(SETTLE_SECONDS)  # until it has started all its threads
        threads = affinity.spread(server.pid, bench.server_cpus, pinned=pinned)
        order = openloop.Order(server.port, path, greeting, count, count, None)
        with CacheCounters(bench.server_cpus) as cache:
            done = openloop.run(order, {*bench.server_cpus, bench.load_cpu})
    values = {
        "mean_ms": done.mean_ns / 1e6,
        "p99_ms": done.latency_ns.p99 / 1e6,
        "max_ms": done.latency_ns.maximum / 1e6,
        "gb_per_second": count * size / 1e9 / done.seconds,
        "threads": threads,
    }
    hits = cache.hit_percent()
    if hits is not None:
        values["cache_hit_percent"] = hits
    return values, cache.reason
