"""Shaped downloads that stall, vanish or change: no token is lost, nothing is left."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from tests.serving import Server, request

MB = 10**6
MANY = 10_000
SPARE_FILES = 2_000
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: an RST instead of a FIN


@pytest.fixture
def many_files() -> Iterator[int]:
    """As many descriptors as this process may have; the server inherits that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + SPARE_FILES:
        pytest.skip(f"{MANY} sockets need more open files than {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(server: Server, i: int) -> socket.socket:
    """From an address of its own: a client of its own."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((f"127.1.{i // 250}.{i % 250 + 1}", 0))
    sock.connect(("127.0.0.1", server.port))
    return sock


def rows(server: Server) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    while True:
        page = server.ask(f"/clients?limit=1000&offset={len(found)}")
        found += page["clients"]
        if len(found) == page["total_rows"]:
            return found


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_ten_thousand_downloads_cut_at_once_leave_every_pool_balanced(
    start: Callable[..., Server], config: Callable[[str], str], many_files: int
) -> None:
    """Parked in their clients' queues, and their clients in the server's line."""
    text = (
        '[shaping]\nclient_rate = "1kB/s"\ntotal_rate = "2MB/s"\n'
        f"[limits]\nmax_connections = {MANY + 100}\ncache_entries = 100\n"
    )
    server = start("--config", config(text), "--cpus", "0")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(server, i)) for i in range(MANY)]
        for sock in sockets:
            sock.sendall(request("/big"))
        server.wait("all", lambda: server.total("transfers") == MANY, 60.0)
        assert server.total("transfers_parked") > MANY // 2
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    server.wait("the end", lambda: server.total("connections") == 0, 20.0)
    clients = rows(server)
    assert len(clients) == MANY
    assert not any(
        row["connections"] or row["transfers"] or row["parked"] for row in clients
    )
    began = time.monotonic()
    assert server.get("/hello.txt").status == 200
    assert time.monotonic() - began < 1.0, "nobody's debt but its own"


@pytest.mark.alone
def test_readers_that_stall_within_a_quantum_keep_no_tokens(
    start: Callable[..., Server],
) -> None:
    """What their sockets do not take goes back, and others of the same client have it;
    when they go on, all bytes are there."""
    server = start("--client-rate", "8MB/s", "--cpus", "0")
    stalled = [server.client(rcvbuf=4096) for _ in range(20)]
    for client in stalled:
        client.send(request("/big"))

    def stuck() -> bool:
        sending = server.ask("/clients/127.0.0.1")["sending"]
        return [t["limited_by"] for t in sending] == ["peer"] * 20

    server.wait("all to be stuck", stuck)
    with server.client() as client:
        client.send(request("/big") * 20)
        client.read_head()
        before, began = len(client.buffer), time.monotonic()
        while time.monotonic() - began < 2:
            client.fill()
        rate = (len(client.buffer) - before) / (time.monotonic() - began)
        client.reset()
    assert rate > 0.9 * 8 * MB
    size = (server.root / "big").stat().st_size
    goes_on = stalled[0]
    assert len(goes_on.read().body) == size
    for client in stalled[1:]:
        client.reset()


def test_a_limit_that_changes_all_the_time_loses_and_adds_nothing(
    start: Callable[..., Server],
) -> None:
    """Fill and debt are kept over every change: the mean is that of the limits."""
    server = start("--client-rate", "2MB/s", "--cpus", "0")
    with server.client() as client, selectors.DefaultSelector() as selector:
        client.send(request("/big") * 50)
        selector.register(client.sock, selectors.EVENT_READ)
        total, began, limits = 0, time.monotonic(), 0.0
        for i in range(40):
            limit = (1, 3)[i % 2] * MB
            server.ask("/config", {"client_id": "127.0.0.1", "target_bps": limit})
            turned = time.monotonic()
            while (left := turned + 0.1 - time.monotonic()) > 0:
                if selector.select(left):
                    total += len(client.sock.recv(1 << 18))
            limits += limit * (time.monotonic() - turned)
        took = time.monotonic() - began
        client.reset()
    assert total == pytest.approx(limits, rel=0.15), f"in {took:.1f} s"
