"""``shape``: do many paced downloads at once each get their limit, evenly, and what
does pacing cost the server?

Every download comes from an address of its own, as those of many users do: a client of
its own for penstock (``client_rate``), and for nginx a connection under ``limit_rate``.
A table of 10,000 clients with tokens would be another workload, that of a start.

After a ramp and a pause, in which free first seconds and full buckets are used up, the
bytes of bodies are counted in slots of 100 ms. Rates mean the body, also to the server.
"""

import re
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import fmean, median, pstdev

from cyclopts import Parameter

from perf import corpus
from perf.bench import Bench, Usage, measured
from perf.cli import PeersCommon, app, execute
from perf.errors import PerfError
from perf.load import hold, paced
from perf.results import SUBJECT, Limit, Metric, Result, Sample
from perf.servers import Kind, Running, running

NAME = "shape"
START_SECONDS = 1.0  # of the load's process
RAMP_SECONDS = 4.0
SETTLE_SECONDS = 3.0
SLOTS_PER_SECOND = 10**9 // paced.SLOT_NS
LATE_NS_MAX = paced.SLOT_NS // 4
"""A load that is later than this has put bytes into the wrong slot."""
UNITS = {"": 1, "B": 1, "KiB": corpus.KIB, "MiB": corpus.MIB}
METRICS = (
    Metric("error_percent", "mean error", "%", 2, better="lower"),
    Metric("sum_error_percent", "error of the sum", "%", 2),
    Metric("jitter_percent", "jitter 100 ms", "%", 1, better="lower"),
    Metric("jitter_p99_percent", "P99 of 100 ms", "%", 1),
    Metric("jitter_1s_percent", "jitter 1 s", "%", 1, better="lower"),
    Metric("jitter_1s_p99_percent", "P99 of 1 s", "%", 1),
    Metric("jain_index", "Jain", "", 5),
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", 1, ratio=True, better="lower"),
    Metric("loops_per_second", "loops/s", "", 0),
    Metric("server_cpu_share", "server CPU", "", 2),
    Metric("load_cpu_share", "load CPU", "", 2),
    Metric("late_ms", "load late", "ms", 1),
)


@Parameter(name="*")
@dataclass(frozen=True)
class ShapeCommon(PeersCommon):
    peers: str = "penstock,nginx"
    "The servers, in the order of their turns; others are not set up to pace."
    rounds: int = 1
    "How often every server takes its turn."
    seconds: int = 10
    "Over how long the bytes are counted."


@dataclass(frozen=True, slots=True)
class Case:
    downloads: int
    rate_bps: int  # of each

    def title(self) -> str:
        return f"{self.downloads:,} at {corpus.title(self.rate_bps)}/s"


@dataclass(frozen=True, slots=True)
class Bound:
    error_percent: float
    jitter_key: str
    jitter_percent: float


BOUNDS = {
    Case(200, corpus.MIB): Bound(0.5, "jitter_percent", 12.0),
    Case(2000, 100 * corpus.KIB): Bound(0.5, "jitter_1s_percent", 5.0),
    Case(10000, 10 * corpus.KIB): Bound(1.0, "jitter_1s_percent", 12.0),
}
"""What is judged: the mean error, and the median jitter of some slots."""


@app.command(name=NAME)
def command(
    *,
    downloads: str = "200x1MiB,2000x100KiB,10000x10KiB",
    common: ShapeCommon | None = None,
) -> int:
    """Many paced downloads: error, jitter, fairness, CPU. Exit code 1 when penstock
    misses the bound of a case; only the three defaults have one.

    Args:
        downloads: How many at once, times the limit of each in bytes per second, for
            example 200x1MiB. Units: B, KiB, MiB.
    """
    found = cases(downloads)
    return execute(
        common or ShapeCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(found),
        lambda bench: run(bench, found),
    )


def cases(text: str) -> list[Case]:
    """``"200x1MiB,10x5KiB"``, each once.

    Raises:
        PerfError: it is not such a list.
    """
    return list(dict.fromkeys(_case(part.strip()) for part in text.split(",")))


def _case(part: str) -> Case:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)(|B|KiB|MiB)", part)
    if match is None:
        raise PerfError(f"--downloads: {part!r} is not like 200x1MiB or 2000x100KiB")
    case = Case(int(match[1]), int(match[2]) * UNITS[match[3]])
    if case.downloads > paced.DOWNLOADS_MAX:
        raise PerfError(f"--downloads: at most {paced.DOWNLOADS_MAX} at once")
    return case


def run(bench: Bench, wanted: Sequence[Case]) -> Result:
    """Measure every case.

    Raises:
        PerfError: penstock did not start, failed a request, or ended, or the limit of
            open files does not allow so many downloads.
    """
    hold.check(max(case.downloads for case in wanted))
    result = bench.result(NAME, METRICS, "perf.load.paced (MSG_TRUNC)")
    result.bound = (
        "mean error and median jitter: 200 x 1 MiB/s 0.5 %, 12 % (100 ms); "
        "2,000 x 100 KiB/s 0.5 %, 5 % (1 s); 10,000 x 10 KiB/s 1 %, 12 % (1 s)"
    )
    by_title = {case.title(): case for case in wanted}
    bench.collect(
        result,
        list(by_title),
        lambda kind, title, number: _turn(bench, kind, number, by_title[title]),
    )
    return result


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    seconds = START_SECONDS + RAMP_SECONDS + SETTLE_SECONDS + bench.seconds
    # Twice what a download can take, so that none ends, a free first second included.
    size_bytes = max(corpus.MIB, int(2 * seconds * case.rate_bps))
    path = bench.file(size_bytes)
    setup = replace(
        bench.setup(),
        connections=case.downloads + 1024,
        body_bytes=size_bytes,
        download_bps=case.rate_bps,
    )
    with running(kind, setup, path) as server:
        done, usage, loops = _measure(bench, server, path, case)
    share = done.cpu_ns / (bench.seconds * 1e9)
    values = figures(done.slots, case.rate_bps)
    body_bytes = sum(map(sum, done.slots))
    values |= {
        "cpu_ms_per_gb": usage.cpu_ns / 1e6 / (body_bytes / 1e9),
        "server_cpu_share": usage.server_share,
        "load_cpu_share": share,
        "late_ms": done.late_ns / 1e6,
    }
    if loops is not None:
        values["loops_per_second"] = loops / bench.seconds
    return Sample(
        server=kind.name,
        case=case.title(),
        round=number,
        values=values,
        limited_by=limited_by(usage, share, done.late_ns),
        passed=judge(case, values) if kind.name == SUBJECT else None,
    )


def _measure(
    bench: Bench, server: Running, path: str, case: Case
) -> tuple[paced.PacedRun, Usage, int | None]:
    before_seconds = START_SECONDS + RAMP_SECONDS + SETTLE_SECONDS
    begin_ns = time.monotonic_ns() + int(before_seconds * 1e9)
    order = paced.PacedOrder(
        port=server.port,
        path=path,
        downloads=case.downloads,
        ramp_ns=int(RAMP_SECONDS * 1e9),
        begin_ns=begin_ns,
        slots=bench.seconds * SLOTS_PER_SECOND,
    )
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(paced.run, order, {bench.load_cpu})
        paced.sleep_until(begin_ns)
        loops = _loops(server)
        with measured(server, bench) as usage:
            paced.sleep_until(begin_ns + bench.seconds * 10**9)
        if loops is not None:
            loops = (_loops(server) or 0) - loops
        return future.result(), usage, loops


def _loops(server: Running) -> int | None:
    """Turns of penstock's event loops; other servers do not say."""
    if server.admin_port is None:
        return None
    url = f"http://127.0.0.1:{server.admin_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return loops_total(answer.read().decode())


def loops_total(metrics: str) -> int:
    """Of all engines, from a Prometheus page."""
    lines = re.findall(r"^\w*loops_total(?:{[^}]*})? (\S+)", metrics, re.MULTILINE)
    return int(sum(map(float, lines)))


def figures(slots: Sequence[Sequence[int]], rate_bps: int) -> dict[str, float]:
    """What judges a shaper, from the bytes of each download in slots of 100 ms."""
    seconds = len(slots[0]) / SLOTS_PER_SECOND
    means = [sum(row) / seconds for row in slots]
    fine = [jitter_percent(row) for row in slots]
    coarse = [jitter_percent(whole_seconds(row)) for row in slots]
    return {
        "error_percent": 100 * fmean(abs(m - rate_bps) for m in means) / rate_bps,
        "sum_error_percent": 100 * (fmean(means) - rate_bps) / rate_bps,
        "jitter_percent": median(fine),
        "jitter_p99_percent": p99(fine),
        "jitter_1s_percent": median(coarse),
        "jitter_1s_p99_percent": p99(coarse),
        "jain_index": jain_index(means),
    }


def whole_seconds(row: Sequence[int]) -> list[int]:
    """Ten slots of 100 ms added up; what is left at the end is no whole second."""
    whole = len(row) - len(row) % SLOTS_PER_SECOND
    return [
        sum(row[i : i + SLOTS_PER_SECOND]) for i in range(0, whole, SLOTS_PER_SECOND)
    ]


def jitter_percent(row: Sequence[int]) -> float:
    """Standard deviation over mean; a download that got nothing is as bad as can be:
    all in one slot (sqrt(n - 1))."""
    mean = fmean(row)
    if mean == 0:
        return float(100 * (len(row) - 1) ** 0.5)
    return float(100 * pstdev(row) / mean)


def p99(values: Sequence[float]) -> float:
    """The nearest rank: 99 of 100 are not above it."""
    return sorted(values)[-(-99 * len(values) // 100) - 1]


def jain_index(means: Sequence[float]) -> float:
    """1 when all are equal, 1/n when one has everything (Jain, Chiu, Hawe, 1984)."""
    squares = sum(mean * mean for mean in means)
    return sum(means) ** 2 / (len(means) * squares) if squares else 0.0


def limited_by(usage: Usage, load_share: float, late_ns: int) -> Limit:
    """The client, also when it came too late once."""
    return "client" if late_ns > LATE_NS_MAX else usage.limited_by(load_share)


def judge(case: Case, values: dict[str, float]) -> bool | None:
    """Against its bound; None where it has none."""
    bound = BOUNDS.get(case)
    if bound is None:
        return None
    return (
        values["error_percent"] <= bound.error_percent
        and values[bound.jitter_key] <= bound.jitter_percent
    )
