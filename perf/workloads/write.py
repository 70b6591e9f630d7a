"""``write``: one MiB into a new file, by 256 calls of write(2), by one splice, or by
one write(2) past the page cache.

The clock of every repetition begins when the file is open and empty, and for a splice
when the pipe holds the pages already (vmsplice(2), no copy): reading them from a socket
would be the other half of an upload, for both ways. It ends when the last call has
returned. Rows take turns, and each round is one repetition.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perf.bench import Bench
from perf.cli import Common, app, execute
from perf.cpu import pinned
from perf.errors import PerfError
from perf.results import Metric, Result, Sample

NAME = "write"
TOTAL_BYTES = 1 << 20
BLOCK_BYTES = 4096
WARM_UP_ROUNDS = 3
SPLICE = "1 splice"
DIRECT = "1 write(2), O_DIRECT"
BUFFERED = ("256 write(2)", SPLICE, "1 SPLICE of io_uring")
DURABLE = (
    "256 write(2), O_DSYNC",
    "256 write(2), fdatasync",
    SPLICE,
    "1 SPLICE of io_uring",
    DIRECT,
)
_FLAGS = ("O_DSYNC", "O_DIRECT")
SHARED_MEMORY = Path("/dev/shm")
METRICS = (
    Metric("ms", "time", "ms", 3, ratio=True, better="lower"),
    Metric("calls", "system calls", "", 0),
)


@Parameter(name="*")
@dataclass(frozen=True)
class WriteCommon(Common):
    rounds: int = 100
    "How often every row is repeated, in turn."


@app.command(name=NAME)
def command(
    *,
    folder: Annotated[list[Path] | None, Parameter(negative=())] = None,
    common: WriteCommon | None = None,
) -> int:
    """1 MiB into a new file: 256 writes of 4 KiB against one splice from a pipe, and
    one write of all of it past the page cache.

    Args:
        folder: Where to write; may be given several times. Default: the working
            directory, and /dev/shm beside it.
    """
    folders = folder or [
        Path.cwd(),
        *([SHARED_MEMORY] if SHARED_MEMORY.is_dir() else []),
    ]
    for path in folders:
        if not path.is_dir() or not os.access(path, os.W_OK):
            raise PerfError(f"--folder: {path} is no folder that can be written")
    cases = dict(case for path in folders for case in cases_of(path))
    return execute(
        common or WriteCommon(),
        NAME,
        lambda bench: bench.rounds * sum(len(rows) for _, rows in cases.values()),
        lambda bench: run(bench, cases),
    )


def cases_of(folder: Path) -> Iterator[tuple[str, tuple[Path, tuple[str, ...]]]]:
    """Title -> folder and rows. What ends with the machine cannot be durable."""
    kind, source = file_system(folder)
    place = kind if kind == "tmpfs" else f"{kind} on {source}"
    yield f"buffered, {place}", (folder, BUFFERED)
    if kind != "tmpfs":
        yield f"durable, {place}", (folder, DURABLE)


def file_system(folder: Path, mountinfo: str | None = None) -> tuple[str, str]:
    """Type and source of the mount that holds ``folder`` (proc_pid_mountinfo(5))."""
    if mountinfo is None:
        mountinfo = Path("/proc/self/mountinfo").read_text()
    real, best = folder.resolve(), ("unknown", "unknown")
    depth = -1
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        mount = Path(left.split()[4].replace("\\040", " "))
        if real.is_relative_to(mount) and len(mount.parts) >= depth:
            depth, best = len(mount.parts), (right.split()[0], right.split()[1])
    return best


def run(bench: Bench, cases: Mapping[str, tuple[Path, tuple[str, ...]]]) -> Result:
    """Repeat every row of every case.

    Raises:
        PerfError: the harness is not compiled.
        OSError: a file system refused; with its reason.
    """
    result = bench.result(NAME, METRICS, "perf.load._blocks", load_pinned=False)
    result.subject = SPLICE
    result.notes.append(
        "for comparison, the figures that this workload was set against: 18.3 ms by "
        "256 calls, 2.1 ms by one (a ratio of 0.11)"
    )
    result.notes.append("durable: a splice is followed by fdatasync, or a linked FSYNC")
    with pinned({bench.server_cpus[0]}), source() as writer:
        for folder, rows in cases.values():
            for row in rows * WARM_UP_ROUNDS:
                writer.once(folder, row, durable=True)
        rows_of = {case: rows for case, (_, rows) in cases.items()}
        for number, case, row in bench.rows_in_turn(rows_of):
            durable = case.startswith("durable")
            took_ns, calls = writer.once(cases[case][0], row, durable=durable)
            values = {"ms": took_ns / 1e6, "calls": calls}
            result.samples.append(Sample(row, case, number, values))
    return result


class Writer:
    """The data, the pipe, the ring; all made before any clock starts."""

    def __init__(self, data: mmap) -> None:
        try:
            from perf.load import _blocks
        except ImportError as error:
            raise PerfError("the load is not compiled: run ./dev build") from error
        self._blocks = _blocks
        self._data = data
        self._ring = _blocks.Uring()
        self._read, self._write = os.pipe()
        fcntl.fcntl(self._write, fcntl.F_SETPIPE_SZ, TOTAL_BYTES)

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def once(self, folder: Path, row: str, *, durable: bool) -> tuple[int, int]:
        """Nanoseconds and calls of one repetition into a new file."""
        path = folder / f".perf-write-{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        flags |= sum(getattr(os, name) for name in _FLAGS if name in row)
        fd = os.open(path, flags, 0o600)
        try:
            found = self._way(row)(fd, durable and "O_DSYNC" not in row)
            if os.fstat(fd).st_size != TOTAL_BYTES:
                raise PerfError(f"{row} wrote another length than {TOTAL_BYTES}")
            return found
        finally:
            os.close(fd)
            path.unlink()

    def _way(self, row: str) -> Callable[[int, bool], tuple[int, int]]:
        if "write(2)" in row:
            block = TOTAL_BYTES if row == DIRECT else BLOCK_BYTES
            return lambda fd, sync: self._blocks.write_blocks(
                fd, self._data, block, sync
            )
        self._blocks.fill(self._write, self._data)
        move = self._blocks.splice_pipe if row == SPLICE else self._ring.splice_pipe
        return lambda fd, sync: move(self._read, fd, TOTAL_BYTES, sync)


@contextmanager
def source() -> Iterator[Writer]:
    """Random data in whole pages, which is what vmsplice(2) passes on."""
    with mmap(-1, TOTAL_BYTES) as data:
        data[:] = os.urandom(TOTAL_BYTES)
        writer = Writer(data)
        try:
            yield writer
        finally:
            writer.close()
