"""Only regular files are ever opened, and directories need not be readable."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import Server

WRITER = """import os, sys
print('ready', flush=True)
os.open(sys.argv[1], os.O_WRONLY)
"""


@contextlib.contextmanager
def waiting_writer(fifo: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has opened ``fifo`` for writing and waits for a reader."""
    command = [sys.executable, "-c", WRITER, str(fifo)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        stat = Path(f"/proc/{process.pid}/stat")
        while stat.read_text().rpartition(") ")[2][0] != "S":
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "special"
    path.mkdir()
    (path / "file").write_bytes(b"content\n")
    os.mkfifo(path / "fifo")
    return path


def test_a_writer_that_waits_for_a_fifo_goes_on_waiting(
    start: Callable[..., Server], place: Path
) -> None:
    server = start(root=place)
    with waiting_writer(place / "fifo") as writer:
        for _ in range(5):
            assert server.get("/fifo").status == 404
        assert writer.poll() is None, "the fifo was opened"


def test_a_file_that_became_a_fifo_is_not_opened(
    start: Callable[..., Server], place: Path
) -> None:
    server = start("--cpus", "0", root=place)
    assert server.get("/file").body == b"content\n"
    with waiting_writer(place / "fifo") as writer:
        (place / "fifo").rename(place / "file")
        server.wait("404", lambda: server.get("/file").status == 404, 3)
        assert writer.poll() is None, "the fifo was opened"


def test_a_device_is_not_served(start: Callable[..., Server], place: Path) -> None:
    try:
        os.mknod(place / "null", 0o666 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    server = start(root=place)
    assert server.get("/null").status == 404


@pytest.mark.parametrize("size", [4, 100_000])
def test_a_directory_need_not_be_readable(
    start: Callable[..., Server], place: Path, size: int
) -> None:
    (place / "dark").mkdir()
    (place / "dark" / "index.html").write_bytes(b"x" * size)
    (place / "dark" / "other").write_bytes(b"other\n")
    (place / "dark").chmod(0o311)
    server = start("--cpus", "0", root=place)
    assert server.get("/dark/").body == b"x" * size
    assert server.get("/dark").status == 301
    assert server.get("/dark/other").body == b"other\n"
    (place / "dark").chmod(0)
    server.wait("403", lambda: server.get("/dark/").status == 403, 3)
    (place / "dark").chmod(0o700)


@pytest.mark.parametrize("size", [4, 100_000])
def test_a_lost_permission_counts_soon_even_in_the_same_tick(
    start: Callable[..., Server], place: Path, size: int
) -> None:
    server = start("--cpus", "0", root=place)
    for n in range(20):
        path = place / f"file{n}"
        path.write_bytes(b"x" * size)
        assert server.get(f"/file{n}").status == 200
        path.chmod(0)
    for n in range(20):
        path = f"/file{n}"
        server.wait("403", lambda path=path: server.get(path).status == 403, 3)
