"""Readers that stop, clients that vanish: others are served and nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.serving import Server, request

HELLO = b"hello, world\n"


def io_workers(server: Server) -> int:
    """Kernel workers of the server's rings."""
    tasks = Path(f"/proc/{server.pid}/task")
    names = [(task / "comm").read_text() for task in tasks.iterdir()]
    return sum(name.startswith("iou-wrk") for name in names)


def test_a_reader_that_stops_is_cut_and_others_are_served(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    server = start("--config", config('[limits]\nwrite_timeout = "500ms"\n'))
    with server.client(rcvbuf=4096) as stuck:
        stuck.send(request("/big"))
        for _ in range(20):
            assert server.get("/hello.txt").body == HELLO
        server.wait("the cut", lambda: server.total("timeouts_write_total") == 1)


def test_readers_that_stop_hold_no_pipe_and_no_worker(server: Server) -> None:
    stuck = [server.client(rcvbuf=4096) for _ in range(200)]
    for client in stuck:
        client.send(request("/big"))
    server.wait("all to be stuck", lambda: server.total("transfers") == 200)
    server.wait("idle pipes", lambda: server.total("pipes") == 0)
    assert io_workers(server) <= 8
    assert server.get("/hello.txt").body == HELLO
    for client in stuck:
        client.reset()


def test_clients_that_vanish_within_a_body(server: Server) -> None:
    for name in ("/big", "/1m", "/edge+0"):
        for read in (0, 1, 5000):
            client = server.client()
            client.send(request(name) * 3)
            while len(client.buffer) < read:
                client.fill()
            client.reset()
    assert server.get("/hello.txt").body == HELLO


def test_clients_that_vanish_while_parked_give_their_tokens_back(
    start: Callable[..., Server],
) -> None:
    server = start("--client-rate", "100kB/s", "--cpus", "0")
    clients = [server.client() for _ in range(50)]
    for client in clients:
        client.send(request("/big"))
    server.wait("parking", lambda: server.total("transfers_parked") >= 45)
    for client in clients:
        client.reset()
    server.wait("the end", lambda: server.total("connections") == 0)
    rows = server.ask("/clients")["clients"]
    assert [row["parked"] for row in rows] == [0]
    assert [row["transfers"] for row in rows] == [0]
    assert server.get("/hello.txt").body == HELLO


def test_many_connections_come_and_go(server: Server) -> None:
    for _ in range(10):
        clients = [server.client() for _ in range(100)]
        for n, client in enumerate(clients):
            if n % 3 == 0:
                client.send(b"GET /hello")
            elif n % 3 == 1:
                client.send(request("/hello.txt"))
        for n, client in enumerate(clients):
            client.reset() if n % 2 else client.sock.close()
    assert server.get("/hello.txt").body == HELLO


def test_half_open_heads_do_not_keep_others_out(server: Server) -> None:
    halves = [server.client() for _ in range(300)]
    for client in halves:
        client.send(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nX: ")
    assert server.get("/hello.txt").body == HELLO
    for client in halves:
        client.send(b"y\r\n\r\n")
    for client in halves:
        assert client.read().body == HELLO
        client.sock.close()


def test_running_out_of_descriptors_is_survived(
    start: Callable[..., Server],
) -> None:
    server = start("--cpus", "0", nofile=200)
    first = server.client()
    assert first.get("/hello.txt").body == HELLO
    # The admin API has no bound of its own: it can take what connections would need.
    port = int(server.admin.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        server.wait("none left", lambda: server.open_fds() == 200)
        late = [server.client() for _ in range(8)]
        time.sleep(0.3)  # accepting fails, and waits before it tries again
        assert first.get("/hello.txt").body == HELLO, "who is in goes on"
    for client in late:
        assert client.get("/1m").status == 200
    assert server.total("accept_errors_total") > 0, "the limit was never reached"


def test_cached_files_leave_descriptors_for_others(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    place = tmp_path / "many"
    place.mkdir()
    for n in range(300):
        with (place / f"f{n}").open("wb") as file:
            file.truncate(70_000)  # not small: its descriptor stays open in the cache
    server = start("--cpus", "0", nofile=250, root=place)
    with server.client() as client:
        for n in range(300):
            assert client.get(f"/f{n}", "HEAD").status == 200
    (engine,) = server.status()["engines"]
    assert engine["cache_entries"] < 100
    assert engine["accept_errors_total"] == 0


def test_connections_leave_descriptors_for_files(start: Callable[..., Server]) -> None:
    """Beyond what the process may open it says 503, and goes on opening files."""
    server = start("--cpus", "0", nofile=400)
    (limit,) = {e["connections_limit"] for e in server.status()["engines"]}
    assert 50 < limit < 250
    assert "raise the hard limit" in server.log.read_text()
    clients = [server.client() for _ in range(limit)]
    assert clients[-1].get("/1m").status == 200
    assert server.get("/hello.txt").status == 503
    assert server.total("accept_errors_total") == 0
    for client in clients:
        client.sock.close()


def test_a_slow_reader_gets_every_byte(server: Server, root: Path) -> None:
    digest = hashlib.sha256()
    with server.client(rcvbuf=8192, timeout=20) as client:
        client.send(request("/big"))
        _, _, headers = client.read_head()
        digest.update(client.buffer)
        left = int(headers["content-length"]) - len(client.buffer)
        pauses = 0
        while left:
            data = client.sock.recv(min(left, 100_000))
            digest.update(data)
            left -= len(data)
            if pauses < 50:
                pauses += 1
                time.sleep(0.005)  # what is tested is a reader that dawdles
    assert digest.digest() == hashlib.sha256((root / "big").read_bytes()).digest()


def test_cold_files_are_read_without_stopping_the_loop(
    server: Server, root: Path
) -> None:
    content = (root / "big").read_bytes()
    with (root / "big").open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    clients = [server.client(timeout=20) for _ in range(12)]
    for client in clients:
        client.send(request("/big"))
    assert server.get("/hello.txt").body == HELLO
    for client in clients:
        assert client.read().body == content
        client.sock.close()
