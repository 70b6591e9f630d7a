"""Nobody waits for what others do: for their disk, their silence, their appetite."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perf.load import sink
from tests.conftest import noise
from tests.faults.test_cold_files import drop_from_page_cache
from tests.serving import Client, Server, request

BULK_BYTES = 64 << 20
WORKERS = 2
DEAF_CLIENTS = 1000
BULK_CLIENTS = 100
BULK_SECONDS = 4.0


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


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/brief", "/page"])
def test_many_downloads_in_bulk_leave_brief_requests_quick(
    start: Callable[..., Server], place: Path, path: str
) -> None:
    """A round of all downloads would take 8 ms or more: in between, requests get in."""
    server = start("--cpus", "0", root=place)
    order = sink.SinkOrder(
        server.port, ["bulk"], BULK_CLIENTS, seconds=BULK_SECONDS, finish=False
    )
    bulk = threading.Thread(target=sink.run, args=(order, os.sched_getaffinity(0)))
    bulk.start()
    waits = []
    try:
        server.wait("bulk", lambda: server.total("transfers") >= BULK_CLIENTS)
        size = (place / path[1:]).stat().st_size
        with server.client() as probe:
            for _ in range(100):
                began = time.monotonic()
                assert len(probe.get(path).body) == size
                waits.append(time.monotonic() - began)
        assert bulk.is_alive(), "all was measured beside the downloads"
    finally:
        bulk.join()
    assert statistics.median(waits) < 0.008, sorted(waits)[::10]
