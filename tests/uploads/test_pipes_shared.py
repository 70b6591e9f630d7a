"""Uploads and downloads share the pipes of an engine."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.uploads.intakes import Serving, serving
from tests.uploads.test_intake import WRITE_PATHS, put

COLD_BYTES = 4 << 20
UPLOADS = 4


def cold_file(root: Path) -> None:
    """Not in the page cache, as far as the kernel does what it is asked."""
    path = root / "cold"
    path.write_bytes(os.urandom(COLD_BYTES))
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def flood(served: Serving, stop: threading.Event) -> None:
    with served.connect() as sock:
        sock.sendall(put(1 << 40))
        while not stop.is_set():
            sock.sendall(bytes(1 << 20))


@pytest.mark.parametrize("pipes", [1, 2])
def test_uploads_that_never_pause_leave_pipes_to_downloads_from_a_disk(
    tmp_path: Path, pipes: int
) -> None:
    limits = {"pipes": pipes, "write_path": WRITE_PATHS["splice"]}
    part = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    stop = threading.Event()
    with serving(tmp_path, **limits) as served:
        threads = [
            threading.Thread(target=flood, args=(served, stop)) for _ in range(UPLOADS)
        ]
        for thread in threads:
            thread.start()
        intakes = []
        for _ in range(UPLOADS):
            _, intake = served.next()
            intake.receive(part, 0, 1 << 40)
            intakes.append(intake)
        cold_file(tmp_path)
        try:
            with served.connect() as sock:
                sock.settimeout(10)
                sock.sendall(
                    b"GET /cold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                )
                got = 0
                while piece := sock.recv(1 << 16):
                    got += len(piece)
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
        assert got > COLD_BYTES
    os.close(part)
