"""Files that are not in the page cache, through pipes that are few."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Server, request

COLD_BYTES = 8 << 20


def drop_from_page_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "cold"
    path.mkdir()
    (path / "cold").write_bytes(noise(COLD_BYTES, 7))
    return path


@pytest.mark.parametrize("attempt", range(3))
def test_whoever_waits_for_a_pipe_gets_one(
    start: Callable[..., Server],
    place: Path,
    config: Callable[[str], str],
    attempt: int,
) -> None:
    """Those before may find their pages cached, and then nobody brings a pipe back."""
    server = start(
        "--config", config("[limits]\npipes = 1\n"), "--cpus", "0", root=place
    )
    content = (place / "cold").read_bytes()
    clients = [server.client(timeout=20) for _ in range(24)]
    drop_from_page_cache(place / "cold")
    for client in clients:
        client.send(request("/cold"))
    bodies: list[bytes] = []
    readers = [
        threading.Thread(target=lambda c=c: bodies.append(c.read().body))
        for c in clients
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [body == content for body in bodies] == [True] * 24


def pipes(server: Server) -> set[str]:
    """The pipes of the process, by inode."""
    found = set()
    for entry in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("pipe:")}


def test_clients_that_vanish_cost_no_pipe(
    start: Callable[..., Server], place: Path
) -> None:
    """A pipe whose content is dropped stays: without descriptors there is no other."""
    server = start("--cpus", "0", root=place)
    server.get("/cold")
    before = pipes(server)
    for _ in range(20):
        clients = [server.client(rcvbuf=4096) for _ in range(20)]
        for client in clients:
            client.send(request("/cold"))
        for client in clients:
            client.fill()
            client.reset()
    server.wait("all gone", lambda: server.total("connections") == 0)
    assert pipes(server) == before
    assert len(server.get("/cold").body) == COLD_BYTES


def test_a_disk_reads_ahead_while_a_download_waits_for_tokens(
    start: Callable[..., Server], place: Path
) -> None:
    server = start("--cpus", "0", "--client-rate", "4MiB/s", root=place)
    drop_from_page_cache(place / "cold")
    assert len(server.get("/cold").body) == COLD_BYTES
    if not server.total("reads_cold_total"):
        pytest.skip("this file system keeps its pages in memory")
    assert server.total("reads_ahead_total") > 0
