"""``mixed``: 10,000 files from 1 KiB to 16 MiB, asked for as popular files are.

Sizes are the quantiles of a bounded Pareto distribution (shape 0.4): half of the files
are below 6 KiB, and the large ones make up most of the bytes. Log-uniform sizes would
need 17 GB. Popularity is Zipf's (s = 1): the n-th file is asked for in proportion to
1/n; which size is how popular is drawn, as is the sequence of requests, from a fixed
seed. The files are real ones, each of its own blocks, because a hole costs nothing.

The same 10,000 requests are one pass; a turn takes whole passes, over whichever
connection is free. So every server does exactly the same work, whatever its speed. The
first pass warms caches up and is not measured.
"""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perf import corpus, loaded
from perf.bench import Bench
from perf.cases import counted
from perf.cli import StoredCommon, app, execute, numbers
from perf.load import sink
from perf.results import Metric, Result, Sample
from perf.servers import Kind, running

NAME = "mixed"
FILES = 10_000
REQUESTS = 10_000
SIZE_BYTES_MIN, SIZE_BYTES_MAX = corpus.KIB, 16 * corpus.MIB
PARETO_SHAPE = 0.4
SEED = 1
METRICS = (
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", digits=1, ratio=True, better="lower"),
    Metric("cpu_us_per_request", "CPU per request", "µs", digits=1, better="lower"),
    Metric("requests_per_second", "requests/s", "", digits=0, better="higher"),
    Metric("gb_per_second", "GB/s", "", digits=2, better="higher"),
    Metric("server_cpu_share", "server CPU", "", digits=2),
    Metric("server_core_share", "its core", "", digits=2),
    Metric("load_cpu_share", "sink CPU", "", digits=2),
)


@dataclass(frozen=True, slots=True)
class Mix:
    """Which files there are, and in which order they are asked for."""

    sizes: Sequence[int]  # bytes, by the file's number
    requests: Sequence[int]  # files' numbers

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes)

    @property
    def pass_bytes(self) -> int:
        return sum(self.sizes[number] for number in self.requests)

    @property
    def paths(self) -> list[str]:
        return [name(number) for number in self.requests]


def mix(files: int = FILES, requests: int = REQUESTS, seed: int = SEED) -> Mix:
    """The files and requests of a seed, the same ones whenever it is asked."""
    drawn = random.Random(seed)
    sizes = [pareto_quantile((index + 0.5) / files) for index in range(files)]
    drawn.shuffle(sizes)
    weights = [1.0 / (rank + 1) for rank in range(files)]
    return Mix(sizes, drawn.choices(range(files), weights, k=requests))


def pareto_quantile(share: float) -> int:
    """Bytes that ``share`` of all files are at most as large as."""
    ratio = (SIZE_BYTES_MIN / SIZE_BYTES_MAX) ** PARETO_SHAPE
    return int(SIZE_BYTES_MIN * (1.0 - share * (1.0 - ratio)) ** (-1.0 / PARETO_SHAPE))


def name(number: int) -> str:
    return f"mixed-{number}.bin"


@app.command(name=NAME)
def command(*, connections: str = "64", common: StoredCommon | None = None) -> int:
    """10,000 files of 1 KiB to 16 MiB, the popular ones often: CPU per GB and request.

    It needs 2.3 GB of disk, see --folder, and as much free memory: the files are hot.

    Args:
        connections: How many keep-alive connections.
    """
    counts = numbers("connections", connections)
    return execute(
        common or StoredCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(counts),
        lambda bench: run(bench, counts),
    )


def run(bench: Bench, connections: Sequence[int]) -> Result:
    """Measure every number of connections.

    Raises:
        PerfError: the files do not fit, or penstock failed.
    """
    result = bench.result(NAME, METRICS, "perf.load.sink (MSG_TRUNC)")
    work = mix()
    _make(bench.folder, work)
    cases = {f"{FILES} files, {counted(count)}": count for count in connections}
    bench.collect(
        result,
        list(cases),
        lambda kind, case, number: _turn(bench, kind, case, number, work, cases[case]),
    )
    result.notes.append(
        f"one pass is {REQUESTS} requests for {len(set(work.requests))} different "
        f"files, {work.pass_bytes / 1e9:.2f} GB; all files are "
        f"{work.total_bytes / 1e9:.2f} GB"
    )
    if any(sample.limited_by == "client" for sample in result.samples):
        result.notes.append("some rounds were limited by the sink: rates are its limit")
    return result


def _make(folder: Path, work: Mix) -> None:
    corpus.require_space(folder, work.total_bytes)
    block = os.urandom(corpus.BLOCK_BYTES)
    for number, size in enumerate(work.sizes):
        start = number % corpus.BLOCK_BYTES  # no two files are alike
        corpus.write(folder / name(number), size, block[start:] + block[:start])
    os.sync()  # else the disk is busy with them while the first server is measured


def _turn(
    bench: Bench, kind: Kind, case: str, number: int, work: Mix, connections: int
) -> Sample:
    setup = replace(bench.setup(), body_bytes=SIZE_BYTES_MAX, files=FILES)
    paths = work.paths
    with running(kind, setup, paths[0]) as server:
        order = sink.SinkOrder(server.port, paths, connections, seconds=0.0)
        done, interval = loaded.by_sink(bench, server, order)
    gigabytes = done.body_bytes / 1e9
    values = {
        "cpu_ms_per_gb": interval.usage.cpu_ns / 1e6 / gigabytes,
        "cpu_us_per_request": interval.usage.cpu_ns / 1e3 / done.responses,
        "requests_per_second": done.responses / done.seconds,
        "gb_per_second": gigabytes / done.seconds,
    }
    return interval.sample(kind.name, case, number, values)
