"""``cold``: files that are not in the page cache, so that every byte is read from disk.

A turn asks for each of a set of large files once. Before it, every file is written to
disk, dropped from the page cache, and looked at: what cannot be dropped is not
measured (see ``perf.load.cache``). Passes are repeated until the interval is full, and
only they are measured, not the dropping. A disk's, a controller's or a hypervisor's
own cache is beyond reach: these figures compare servers, they do not rate disks.

CPU is that of all threads of the server, the workers included that io_uring and
thread pools wait in; the kernel's own threads, which complete the reads, are charged
to nobody.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median

from perf import corpus
from perf.bench import Bench, Usage, measured
from perf.cases import counted
from perf.cli import StoredCommon, app, execute, numbers
from perf.load import cache, sink
from perf.loaded import Interval
from perf.results import Metric, Result, Sample
from perf.servers import Kind, Running, running

NAME = "cold"
WARM_UP_BYTES = corpus.KIB
METRICS = (
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", digits=1, ratio=True, better="lower"),
    Metric("gb_per_second", "GB/s", "", digits=2, ratio=True, better="higher"),
    Metric("first_byte_ms", "first byte", "ms", digits=2, better="lower"),
    Metric("first_byte_max_ms", "latest first byte", "ms", digits=1, better="lower"),
    Metric("server_cpu_share", "server CPU", "", digits=2),
    Metric("server_core_share", "its core", "", digits=2),
    Metric("load_cpu_share", "sink CPU", "", digits=2),
)


@app.command(name=NAME)
def command(
    *,
    size: int = 64 * corpus.MIB,
    files: int = 32,
    connections: str = "1,16",
    common: StoredCommon | None = None,
) -> int:
    """Files read from disk: GB/s, CPU per GB, time to the first byte.

    Without --folder the files are made in $TMPDIR, else in the working copy, because
    /tmp is often in memory.

    Args:
        size: Bytes per file.
        files: How many files; at least one for each connection.
        connections: How many keep-alive connections.
    """
    counts = numbers("connections", connections)
    common = common or StoredCommon()
    files = max(files, *counts)
    return execute(
        replace(common, folder=common.folder or default_folder()),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(counts),
        lambda bench: run(bench, size, files, counts),
    )


def default_folder() -> Path:
    """Rather on a disk than where temporary files go."""
    named = os.environ.get("TMPDIR")
    return Path(named) if named else Path(__file__).resolve().parents[2]


def run(bench: Bench, size: int, files: int, connections: Sequence[int]) -> Result:
    """Measure every number of connections.

    Raises:
        PerfError: the files cannot be made or dropped, or penstock failed.
    """
    result = bench.result(NAME, METRICS, "perf.load.sink (MSG_TRUNC)")
    names = _make(bench.folder, size, files)
    cases = {
        f"{files} × {corpus.title(size)}, {counted(count)}": count
        for count in connections
    }
    bench.collect(
        result,
        list(cases),
        lambda kind, case, number: _turn(
            bench, kind, Case(case, number, size, names, cases[case])
        ),
    )
    result.notes.append(
        "every file was out of the page cache before it was asked for (mincore); "
        "what the disk or its host keeps is beyond reach"
    )
    return result


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    round: int
    size_bytes: int
    names: Sequence[str]
    connections: int


def _make(folder: Path, size: int, files: int) -> list[str]:
    corpus.require_space(folder, size * files)
    names = [f"cold-{index}.bin" for index in range(files)]
    block = os.urandom(corpus.BLOCK_BYTES)
    for name in names:
        corpus.write(folder / name, size, block)
        cache.drop([folder / name])
    return names


@dataclass(slots=True)
class _Passes:
    """The sum of what the passes of one turn took."""

    cpu_ns: int = 0
    load_cpu_ns: int = 0
    load_wall_ns: int = 0
    body_bytes: int = 0
    seconds: float = 0.0
    first_byte_ns: list[int] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)


def _turn(bench: Bench, kind: Kind, case: Case) -> Sample:
    warm = bench.file(WARM_UP_BYTES)
    setup = replace(bench.setup(), body_bytes=case.size_bytes, files=len(case.names))
    with running(kind, setup, warm) as server:
        passes = _Passes()
        while passes.seconds < bench.seconds:
            _pass(bench, server, case, passes)
    gigabytes = passes.body_bytes / 1e9
    usage = Usage(
        server_share=passes.cpu_ns / 1e9 / passes.seconds / len(bench.server_cpus),
        server_core_share=fmean(u.server_core_share for u in passes.usages),
        core_idle_share=fmean(u.core_idle_share for u in passes.usages),
    )
    interval = Interval(usage, passes.load_cpu_ns / passes.load_wall_ns)
    values = {
        "cpu_ms_per_gb": passes.cpu_ns / 1e6 / gigabytes,
        "gb_per_second": gigabytes / passes.seconds,
        "first_byte_ms": median(passes.first_byte_ns) / 1e6,
        "first_byte_max_ms": max(passes.first_byte_ns) / 1e6,
    }
    return interval.sample(kind.name, case.title, case.round, values)


def _pass(bench: Bench, server: Running, case: Case, passes: _Passes) -> None:
    """Drop every file, then ask for each once."""
    cache.drop([bench.folder / name for name in case.names])
    order = sink.SinkOrder(
        server.port, case.names, case.connections, seconds=0.0, first_bytes=True
    )
    with measured(server, bench) as usage:
        done = sink.run(order, {bench.load_cpu})
    passes.usages.append(usage)
    passes.cpu_ns += usage.cpu_ns
    passes.load_cpu_ns += done.cpu_ns
    passes.load_wall_ns += done.wall_ns
    passes.body_bytes += done.body_bytes
    passes.seconds += done.wall_ns / 1e9
    passes.first_byte_ns += done.first_byte_ns
