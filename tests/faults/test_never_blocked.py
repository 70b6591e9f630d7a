"""Nobody waits for what others do: for their disk, their silence, their appetite."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.faults.test_cold_files import drop_from_page_cache
from tests.serving import Client, Server, request

BULK_BYTES = 64 << 20
WORKERS = 2
DEAF_CLIENTS = 1000
BULK_CLIENTS = 100
HOLE_BYTES = 1 << 30
PROBES = 1500
PROBES_PER_LOOK = 100
# While brief requests come, a round ends with the piece that passes 512 KiB; a piece is
# 256 KiB (SHARED_ROUND_BYTES, SHARED_MOVE_BYTES).
ROUND_BYTES_MAX = (512 + 256) << 10


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "bulk"
    path.mkdir()
    block = noise(1 << 20, 5)
    with (path / "bulk").open("wb") as file:
        for _ in range(BULK_BYTES >> 20):
            file.write(block)
    (path / "brief").write_bytes(noise(1024, 6))
    (path / "page").write_bytes(noise(60_000, 7))
    return path


def workers(server: Server) -> int:
    """Kernel threads of the rings that wait for disks."""
    found = 0
    for task in Path(f"/proc/{server.pid}/task").iterdir():
        try:
            found += (task / "comm").read_text().startswith("iou-wrk")
        except OSError:  # it ended meanwhile
            continue
    return found


def asked(server: Server, n: int, path: str, rcvbuf: int) -> list[Client]:
    clients = [server.client(timeout=20, rcvbuf=rcvbuf) for _ in range(n)]
    for client in clients:
        client.send(request(path))
    return clients


@pytest.mark.slow
def test_a_thousand_clients_that_never_read_hold_no_pipe_and_no_worker(
    start: Callable[..., Server], place: Path, config: Callable[[str], str]
) -> None:
    text = f"[limits]\npipes = 2\niowq_workers = {WORKERS}\n"
    server = start("--config", config(text), "--cpus", "0", root=place)
    drop_from_page_cache(place / "bulk")
    asked(server, DEAF_CLIENTS, "/bulk", rcvbuf=4096)
    server.wait(
        "all of them served", lambda: server.total("transfers") == DEAF_CLIENTS, 20
    )
    most = 0
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        most = max(most, workers(server))
        if server.total("pipes") == 0 and server.total("bytes_sent_total"):
            break
        time.sleep(0.05)
    assert server.total("pipes") == 0
    # Two classes, each with its own cap.
    assert most <= 2 * WORKERS
    assert server.get("/brief").body == noise(1024, 6), "others are served as ever"


# As little work per byte as Python can do, or the downloads would not fill the engine.
GREEDY = """
import selectors, socket, sys
port, n = int(sys.argv[1]), int(sys.argv[2])
ready, scratch = selectors.EpollSelector(), bytearray(1 << 20)
for _ in range(n):
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /hole HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    client.setblocking(False)
    ready.register(client, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        if not key.fileobj.recv_into(scratch, 1 << 20, socket.MSG_TRUNC):
            ready.unregister(key.fileobj)
"""


@contextmanager
def greedy_readers(server: Server, cpu: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", GREEDY, str(server.port), str(BULK_CLIENTS)]
    )
    os.sched_setaffinity(process.pid, {cpu})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def make_hot_hole(path: Path) -> None:
    """Long enough that nobody comes to its end; from the page cache from the start."""
    with path.open("wb") as hole:
        hole.truncate(HOLE_BYTES)
    with path.open("rb") as hole:
        while hole.read(1 << 24):
            pass


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("path", ["/brief", "/page"])
def test_many_downloads_in_bulk_leave_brief_requests_quick(
    start: Callable[..., Server], place: Path, path: str
) -> None:
    """The loop looks for requests after a bounded number of bytes, however many
    downloads there are: a round of all of them could take 8 ms and more."""
    make_hot_hole(place / "hole")
    cpus = sorted(os.sched_getaffinity(0))
    server = start("--cpus", str(cpus[0]), root=place)
    size = (place / path[1:]).stat().st_size
    waits, seen = [], []
    with greedy_readers(server, cpus[-1]), server.client() as probe:
        server.wait("downloads", lambda: server.total("transfers") >= BULK_CLIENTS)
        for number in range(PROBES):
            if number % PROBES_PER_LOOK == 0:
                seen.append(
                    (server.total("bytes_sent_total"), server.total("loops_total"))
                )
            began = time.monotonic()
            assert len(probe.get(path).body) == size
            waits.append(time.monotonic() - began)
            time.sleep(0.001)  # all through the downloads, not in one lucky moment
        assert server.total("transfers") == BULK_CLIENTS, "none has come to its end"
    per_round = [
        (bytes_ - bytes_before) / (loops - loops_before)
        for (bytes_before, loops_before), (bytes_, loops) in pairwise(seen)
    ]
    assert max(per_round) <= ROUND_BYTES_MAX
    assert statistics.median(waits) < 0.008
