"""``uploaders``: do slow uploaders make who downloads wait?

Requests for a hot file come by a fixed schedule, as in ``latency``, far below
saturation: first alone, then beside uploaders who each bring a few KiB every now and
then, for hours if they were let. The figure is the P99 beside them over the P99 alone,
of the same server in the same minute. The uploaders run on the load's core, and go
last there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import sleep

from cyclopts import Parameter

from perf import corpus
from perf.bench import Bench, Usage, measured
from perf.cli import app, execute, numbers
from perf.load import bring, drip, hold, openloop
from perf.results import SUBJECT, Limit, Metric, Result, Sample
from perf.servers import Kind, Running, running
from perf.workloads.latency import figures, limited_by, one
from perf.workloads.upload import PEER, PROTOCOLS, UploadCommon

NAME = "uploaders"
CONNECTIONS = 64
WARM_UP_SECONDS = 1
SETTLE_SECONDS = 3.0
"""After the last uploader has begun: what it brought at once has been taken."""
PIECE_BYTES = 4 * corpus.KIB
PERIOD_NS = 250_000_000
FIRST_BYTES = corpus.MIB
SPARE_SECONDS = 60
RATIO_MAX = 3.0
METRICS = (
    Metric("p99_ratio", "P99 beside ÷ alone", "×", 2, better="lower"),
    Metric("alone_p50_us", "alone P50", "µs", 1, better="lower"),
    Metric("alone_p99_us", "alone P99", "µs", 1, better="lower"),
    Metric("p50_us", "P50", "µs", 1, better="lower"),
    Metric("p99_us", "P99", "µs", 1, ratio=True, better="lower"),
    Metric("p999_us", "P99.9", "µs", 1, better="lower"),
    Metric("max_us", "max", "µs", 0, better="lower"),
    Metric("own_delay_p99_us", "generator's own delay, P99", "µs", 1),
    Metric("uploaded_mb_per_second", "uploaded", "MB/s", 1),
    Metric("late_ms", "uploads late", "ms", 0),
    Metric("alone_cpu_share", "server CPU alone", ""),
    Metric("server_cpu_share", "server CPU", ""),
)


@Parameter(name="*")
@dataclass(frozen=True)
class UploadersCommon(UploadCommon):
    peers: str = f"{SUBJECT},{PEER}"
    "The servers, in the order of their turns; others take no uploads."
    seconds: int = 5
    "Length of each of the two intervals of a turn."


@dataclass(frozen=True, slots=True)
class Case:
    size_bytes: int
    uploaders: int
    rate: int  # requests per second

    def title(self) -> str:
        bps = PIECE_BYTES * 1_000_000_000 // PERIOD_NS
        return (
            f"{corpus.title(self.size_bytes)}, {self.rate:,} a second, "
            f"{self.uploaders:,} uploaders of {corpus.title(bps)}/s"
        )


@app.command(name=NAME)
def command(
    *,
    sizes: str = f"{corpus.KIB},{64 * corpus.KIB}",
    uploaders: str = "1000",
    rate: str = "5000",
    common: UploadersCommon | None = None,
) -> int:
    """Latency of a hot file beside 1,000 slow uploaders. Exit code 1 when its P99 is
    more than 3 times that without them.

    Args:
        sizes: Bytes of the file.
        uploaders: How many connections bring 4 KiB every quarter of a second each.
        rate: Requests per second.
    """
    count, per_second = one("uploaders", uploaders), one("rate", rate)
    cases = [Case(size, count, per_second) for size in numbers("sizes", sizes)]
    return execute(
        common or UploadersCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(cases),
        lambda bench: run(bench, cases),
    )


def run(bench: Bench, cases: Sequence[Case]) -> Result:
    """Measure every case.

    Raises:
        PerfError: penstock did not start, failed a request, ended an upload, or ended.
    """
    for case in cases:
        hold.check(case.uploaders)
    result = bench.result(NAME, METRICS, "perf.load.openloop, perf.load.drip")
    result.bound = f"{RATIO_MAX:g} times the P99 without uploaders"
    by_title = {case.title(): case for case in cases}
    bench.collect(
        result,
        list(by_title),
        lambda kind, title, number: _turn(bench, kind, number, by_title[title]),
    )
    return result


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    # What is left of the uploads goes with the folder: others must not find it.
    with corpus.temporary_folder(bench.folder) as root:
        return _measured(replace(bench, folder=root), kind, number, case)


def _measured(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    path = bench.file(case.size_bytes)
    setup = replace(
        bench.setup(),
        body_bytes=case.size_bytes,
        connections=case.uploaders + CONNECTIONS,
        uploads=case.uploaders,
    )
    with running(kind, setup, path) as server:
        _asked(bench, server, case, WARM_UP_SECONDS)
        alone, usage_alone = _asked(bench, server, case, bench.seconds)
        with drip.dripping(order(bench, server, case), {bench.load_cpu}) as drips:
            sleep(SETTLE_SECONDS)
            beside, usage = _asked(bench, server, case, bench.seconds)
            done = drips.end()
    found = {
        **figures(beside),
        **of_both(alone, beside),
        **of_uploads(done),
        "alone_cpu_share": usage_alone.server_share,
        "server_cpu_share": usage.server_share,
    }
    return Sample(
        server=kind.name,
        case=case.title(),
        round=number,
        values=found,
        limited_by=limit_of(alone, beside, done),
        passed=found["p99_ratio"] <= RATIO_MAX if kind.name == SUBJECT else None,
    )


def order(bench: Bench, server: Running, case: Case) -> drip.DripOrder:
    """Bodies that last longer than they are wanted."""
    periods = (bench.seconds + SPARE_SECONDS) * 1_000_000_000 // PERIOD_NS
    body = bring.BringOrder(
        port=server.port,
        folder=str(bench.folder),
        size_bytes=2 * FIRST_BYTES + periods * PIECE_BYTES,
        connections=case.uploaders,
        seconds=0.0,
        # Each upload is there before its body comes.
        protocol=PROTOCOLS.get(server.kind, "tus-patch"),
    )
    return drip.DripOrder(body, FIRST_BYTES, PIECE_BYTES, PERIOD_NS)


def _asked(
    bench: Bench, server: Running, case: Case, seconds: int
) -> tuple[openloop.Run, Usage]:
    """What the requests of so many seconds took."""
    path = bench.file(case.size_bytes)
    wanted = openloop.Order(
        port=server.port,
        path=path,
        greeting_path=path,
        connections=CONNECTIONS,
        requests=case.rate * seconds,
        rate_per_second=case.rate,
    )
    with measured(server, bench) as usage:
        done = openloop.run(wanted, {bench.load_cpu})
    usage.server_share = usage.cpu_ns / 1e9 / done.seconds / len(bench.server_cpus)
    return done, usage


def limit_of(alone: openloop.Run, beside: openloop.Run, done: drip.DripRun) -> Limit:
    """The client, when it was late in anything: that spoils the ratio."""
    late = done.late_ns > PERIOD_NS
    if late or "client" in (limited_by(alone), limited_by(beside)):
        return "client"
    return "neither"


def of_both(alone: openloop.Run, beside: openloop.Run) -> Mapping[str, float]:
    return {
        "p99_ratio": beside.latency_ns.p99 / alone.latency_ns.p99,
        "alone_p50_us": alone.latency_ns.p50 / 1e3,
        "alone_p99_us": alone.latency_ns.p99 / 1e3,
    }


def of_uploads(done: drip.DripRun) -> Mapping[str, float]:
    return {
        "uploaded_mb_per_second": done.body_bytes / 1e6 / done.seconds,
        "late_ms": done.late_ns / 1e6,
    }
