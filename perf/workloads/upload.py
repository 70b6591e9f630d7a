"""``upload``: bodies of one size are brought, over several connections, and kept.

Each becomes a file of its own. penstock answers when it is on the disk, by its nature;
nginx (ngx_http_dav_module) and @tus/server answer before, so the load fsyncs their
files and the directory, and that CPU time counts as theirs: all have then done the
same. How much it was, a column of its own says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cyclopts import Parameter

from perf import corpus, loaded
from perf.bench import Bench
from perf.cases import Case, combined
from perf.cli import IntervalCommon, app, execute, numbers, servers
from perf.errors import PerfError
from perf.load import bring
from perf.results import SUBJECT, Metric, Result, Sample
from perf.servers import UPLOADERS, Kind, running

NAME = "upload"
WARM_UP_SECONDS = 0.5
RATIO_MAX = 0.8
JUDGED_BYTES = 100 * corpus.MIB
PEER = "nginx-dav"
PROTOCOLS: Mapping[str, bring.Protocol] = {
    PEER: "dav",
    "penstock-tus": "tus-patch",
    "tus-node": "tus-patch",
}
"""How bodies are brought to whom; to the others by tus in one request."""
NOT_DURABLE = (PEER, "tus-node")
"""Who answers before a file is durable."""
METRICS = (
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", digits=1, ratio=True, better="lower"),
    Metric("sync_ms_per_gb", "of it fsync by the load", "ms", digits=1),
    Metric("gb_per_second", "GB/s", "", digits=2, better="higher"),
    Metric("uploads_per_second", "uploads/s", "", digits=1, better="higher"),
    Metric("server_cpu_share", "server CPU", "", digits=2),
    Metric("server_core_share", "its core", "", digits=2),
    Metric("load_cpu_share", "load CPU", "", digits=2),
)


@Parameter(name="*")
@dataclass(frozen=True)
class UploadCommon(IntervalCommon):
    peers: str = ",".join(UPLOADERS)
    "The servers, in the order of their turns; others take no uploads."

    def kinds(self) -> tuple[list[Kind], list[str]]:
        return servers(self.peers, UPLOADERS)


@app.command(name=NAME)
def command(
    *,
    sizes: str = f"{corpus.MIB},{100 * corpus.MIB}",
    connections: str = "1,4",
    common: UploadCommon | None = None,
) -> int:
    """Uploads that are kept: CPU per GB and GB/s. Exit code 1 when at 100 MiB penstock
    takes more than 0.8 times the CPU of nginx.

    Args:
        sizes: Bytes per upload.
        connections: How many keep-alive connections.
    """
    cases = combined(numbers("sizes", sizes), numbers("connections", connections))
    return execute(
        common or UploadCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(cases),
        lambda bench: run(bench, cases),
    )


def run(bench: Bench, cases: Mapping[str, Case]) -> Result:
    """Measure every case.

    Raises:
        PerfError: penstock did not start, failed an upload, or ended.
    """
    result = bench.result(NAME, METRICS, "perf.load.bring (sendfile)")
    result.bound = f"{RATIO_MAX:g} times the CPU of {PEER} at 100 MiB"
    result.notes += [
        f"{kind.name} answers before a file is durable: the load fsyncs it, and that "
        "is in its CPU"
        for kind in bench.kinds
        if kind.name in NOT_DURABLE
    ]
    bench.collect(
        result,
        list(cases),
        lambda kind, title, number: _turn(bench, kind, number, cases[title]),
    )
    samples, result.samples = result.samples, []
    for sample in samples:
        passed = judge(sample, samples, cases[sample.case])
        result.samples.append(replace(sample, passed=passed))
    return result


def judge(sample: Sample, samples: Sequence[Sample], case: Case) -> bool | None:
    """Against the peer's sample of the same case and round; None: there is none."""
    if sample.server != SUBJECT or case.size_bytes != JUDGED_BYTES:
        return None
    same = (PEER, sample.case, sample.round)
    for other in samples:
        if (other.server, other.case, other.round) == same:
            most = RATIO_MAX * other.values["cpu_ms_per_gb"]
            return sample.values["cpu_ms_per_gb"] <= most
    return None


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    probe = bench.file(1024)
    setup = replace(bench.setup(), uploads=case.connections)
    with running(kind, setup, probe) as server:
        order = bring.BringOrder(
            port=server.port,
            folder=str(bench.folder),
            size_bytes=case.size_bytes,
            connections=case.connections,
            seconds=WARM_UP_SECONDS,
            protocol=PROTOCOLS.get(kind.name, "tus"),
            sync=kind.name in NOT_DURABLE,
        )
        done, interval = loaded.by_bring(bench, server, order)
    if not done.uploads:
        raise PerfError("not one upload came to its end")
    gigabytes = done.body_bytes / 1e9
    cpu_ns = interval.usage.cpu_ns + done.sync_cpu_ns
    values = {
        "cpu_ms_per_gb": cpu_ns / 1e6 / gigabytes,
        "sync_ms_per_gb": done.sync_cpu_ns / 1e6 / gigabytes,
        "gb_per_second": gigabytes / done.seconds,
        "uploads_per_second": done.uploads / done.seconds,
    }
    return interval.sample(kind.name, case.title(), number, values)
