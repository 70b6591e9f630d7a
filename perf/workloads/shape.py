"""``shape``: do many paced downloads at once each get their limit, evenly, and what
does pacing cost the server?

Every download comes from an address of its own, as those of many users do: a client of
its own for penstock (``client_rate``), a stream for haproxy, a class for HTB, and for
nginx a connection under ``limit_rate``. A table of 10,000 clients with tokens would be
another workload, that of a start.

After a ramp and a pause, in which free first seconds and full buckets are used up, the
bytes of bodies are counted in slots of 100 ms. Rates mean the body, also to the server.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cyclopts import Parameter

from perf import corpus, namespace, shaped
from perf.bench import Bench
from perf.cli import PeersCommon, app, execute, servers
from perf.errors import PerfError
from perf.evenness import SLOTS_PER_SECOND, figures
from perf.load import hold, paced, sink
from perf.loaded import by_sink
from perf.results import SUBJECT, Metric, Result, Sample, Timeline
from perf.servers import KINDS, SHAPERS, Kind, running
from perf.servers.unshaped import SUFFIXES, Unshaped

NAME = "shape"
RAMP_NS = 4 * 10**9
WARM_UP_SECONDS = 1.0  # of what is read at full speed
SEND_BUFFER_BYTES_MIN = 32 * corpus.KIB
RECEIVE_BUFFER_BYTES = 64 * corpus.KIB
"""With more, ten thousand reach what the kernel grants all of TCP (tcp_mem)."""
BOTH_OVER_UNSHAPED_MAX = 1.10
SENSING_PERCENT_MAX = 1.0  # of a core
FOLLOWED = "penstock-followed"
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
    Metric("over_unshaped", "over unshaped", "×", 2),
    Metric("over_full_speed", "over full speed", "×", 2),
    Metric("both_ms_per_gb", "CPU of both ends per GB", "ms", 1, better="lower"),
    Metric("both_over_unshaped", "both ends over unshaped", "×", 2),
    Metric("server_core_share", "its core", "", 2),
    *shaped.METRICS,
)


@Parameter(name="*")
@dataclass(frozen=True)
class ShapeCommon(PeersCommon):
    peers: str = ",".join(SHAPERS)
    "The servers, in the order of their turns; others are not set up to pace."
    rounds: int = 1
    "How often every server takes its turn."
    seconds: int = 10
    "Over how long the bytes are counted."

    def kinds(self) -> tuple[list[Kind], list[str]]:
        return servers(self.peers, KINDS | SHAPERS)


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
    misses the bound of a case; only the three defaults have one, and sensing.

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
        "2,000 x 100 KiB/s 0.5 %, 5 % (1 s); 10,000 x 10 KiB/s 1 %, 12 % (1 s); "
        f"CPU of both ends {BOTH_OVER_UNSHAPED_MAX:g} times that without a limit; "
        f"sensing {SENSING_PERCENT_MAX:g} % of a core"
    )
    by_title = {case.title(): case for case in wanted}
    bench.collect(
        result,
        list(by_title),
        lambda kind, title, number: _turn(bench, kind, number, by_title[title]),
    )
    _give_verdicts(result, by_title)
    return result


def _give_verdicts(result: Result, by_title: Mapping[str, Case]) -> None:
    """Related to the baselines first, which come after what is judged."""
    related, result.samples = beside_unshaped(result.samples), []
    for sample in related:
        missed = judge(sample.server, by_title[sample.case], sample.values)
        if missed is None:
            result.samples.append(sample)
            continue
        result.samples.append(replace(sample, passed=not missed))
        if missed:
            result.notes.append(f"{sample.server}, {sample.case}: {'; '.join(missed)}")


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    if not isinstance(kind, Unshaped):
        return _paced_turn(bench, kind, number, case)
    if kind.reading == "full":
        return _full_speed_turn(bench, kind, number, case)
    with _small_buffers(bench, max(SEND_BUFFER_BYTES_MIN, case.rate_bps)):
        return _paced_turn(bench, kind, number, case)


def _paced_turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    order = paced.PacedOrder(
        port=0,
        path="",
        downloads=case.downloads,
        ramp_ns=RAMP_NS,
        begin_ns=0,
        slots=bench.seconds * SLOTS_PER_SECOND,
        read_bps=case.rate_bps if isinstance(kind, Unshaped) else 0,
    )
    seconds = shaped.lead_seconds(order) + bench.seconds
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
        found = shaped.by_paced(bench, server, replace(order, path=path))
    values = figures(found.done.slots, case.rate_bps) | found.values()
    gigabytes = found.body_bytes() / 1e9
    values |= {
        "cpu_ms_per_gb": found.usage.cpu_ns / 1e6 / gigabytes,
        "both_ms_per_gb": (found.usage.cpu_ns + found.done.cpu_ns) / 1e6 / gigabytes,
        "server_core_share": found.usage.server_core_share,
    }
    return Sample(
        server=kind.name,
        case=case.title(),
        round=number,
        values=values,
        limited_by=found.limited_by(),
        timelines=timelines(found.done.slots, case),
    )


@contextmanager
def _small_buffers(bench: Bench, send_bytes: int) -> Iterator[None]:
    """A server that nobody limits fills all buffers before it is measured, then does
    nothing for a while. What it keeps ahead must be little beside what is measured.

    Raises:
        PerfError: there is no namespace in which they could be set.
    """
    if bench.unpinned_reason is not None:
        raise PerfError("left out: its buffers need a namespace of their own")
    received = max(RECEIVE_BUFFER_BYTES, send_bytes // 8)  # two reads and more
    wanted = {"tcp_wmem": send_bytes, "tcp_rmem": received}
    before = {name: Path("/proc/sys/net/ipv4", name).read_text() for name in wanted}
    for name, most in wanted.items():
        least, usual, _ = map(int, before[name].split())
        namespace.set_own(f"net/ipv4/{name}", f"{least} {min(usual, most)} {most}")
    try:
        yield
    finally:
        for name, text in before.items():
            namespace.set_own(f"net/ipv4/{name}", text)


def _full_speed_turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    """As many bytes for each connection, one time after the other."""
    size_bytes = case.rate_bps * bench.seconds
    path = bench.file(size_bytes)
    setup = replace(
        bench.setup(), connections=case.downloads + 1024, body_bytes=size_bytes
    )
    order = sink.SinkOrder(
        port=0, paths=[path], connections=case.downloads, seconds=WARM_UP_SECONDS
    )
    with running(kind, setup, path) as server:
        done, found = by_sink(bench, server, replace(order, port=server.port))
    gigabytes = done.body_bytes / 1e9
    cpu_ns = found.usage.cpu_ns
    values = {
        "cpu_ms_per_gb": cpu_ns / 1e6 / gigabytes,
        "both_ms_per_gb": (cpu_ns + done.cpu_ns) / 1e6 / gigabytes,
        "wakeups_per_second": found.usage.wakeups / (found.usage.wall_ns / 1e9),
    }
    return found.sample(kind.name, case.title(), number, values)


def timelines(slots: Sequence[Sequence[int]], case: Case) -> list[Timeline]:
    """All downloads together, and some of them alone, in 10^6 bytes per second."""
    to_mb = SLOTS_PER_SECOND / 1e6
    width = 1 / SLOTS_PER_SECOND
    total = [sum(column) * to_mb for column in zip(*slots, strict=True)]
    some = dict.fromkeys((0, len(slots) // 2, len(slots) - 1))
    lines = {f"download {n + 1}": [count * to_mb for count in slots[n]] for n in some}
    all_bps, one_bps = case.downloads * case.rate_bps, case.rate_bps
    return [
        Timeline("all", "MB/s", width, {"all": total}, {"limit": all_bps / 1e6}),
        Timeline("some", "MB/s", width, lines, {"limit": one_bps / 1e6}),
    ]


def beside_unshaped(samples: Sequence[Sample]) -> list[Sample]:
    """Each sample with its CPU per GB over that of the same server without a limit."""
    values = {(s.server, s.case, s.round): s.values for s in samples}
    found = []
    for sample in samples:
        extra = {}
        for key, of, suffix in RATIOS:
            base = f"{BASES.get(sample.server)}-{suffix}"
            other = values.get((base, sample.case, sample.round))
            if other is not None:
                extra[key] = sample.values[of] / other[of]
        found.append(replace(sample, values={**sample.values, **extra}))
    return found


RATIOS = (
    ("over_unshaped", "cpu_ms_per_gb", SUFFIXES["paced"]),
    ("over_full_speed", "cpu_ms_per_gb", SUFFIXES["full"]),
    ("both_over_unshaped", "both_ms_per_gb", SUFFIXES["paced"]),
)
"""What is related to which baseline."""


BASES = {"penstock": "penstock"} | dict.fromkeys(
    ("nginx", "haproxy-bwlim", "nginx-htb"), "nginx"
)
"""Which server serves the files behind each limit."""


def judge(server: str, case: Case, values: Mapping[str, float]) -> list[str] | None:
    """Which figures miss their bounds, in words; None where there are no bounds."""
    bound = BOUNDS.get(case)
    if server == FOLLOWED:
        most = {"sensing_percent": SENSING_PERCENT_MAX}
    elif server == SUBJECT and bound is not None:
        most = {
            "error_percent": bound.error_percent,
            bound.jitter_key: bound.jitter_percent,
            "both_over_unshaped": BOTH_OVER_UNSHAPED_MAX,
        }
    else:
        return None
    titles = {metric.key: metric for metric in METRICS}
    return [
        f"{titles[key].title} {values[key]:.2f} {titles[key].unit}, bound {limit:g}"
        for key, limit in most.items()
        if values.get(key, 0.0) > limit
    ]
