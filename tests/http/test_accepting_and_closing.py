"""How a connection begins and ends, where the engine does it in its own way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import Server, request
from tests.tracing import traced

COPY_BYTES = 262144  # of the engine: limits.pxd
HELLO = b"hello, world\n"
CLOSE = {"Connection": "close"}


@pytest.fixture
def deferred(
    start: Callable[..., Server], config: Callable[[str], str]
) -> Callable[..., Server]:
    """Start a server that accepts connections with their first request."""

    def start_one(limits: str = "") -> Server:
        text = f"[server]\ndefer_accept = true\n[limits]\n{limits}\n"
        return start("--config", config(text), "--cpus", "0")

    return start_one


def test_a_deferred_connection_is_accepted_with_its_request(
    deferred: Callable[..., Server],
) -> None:
    server = deferred()
    with server.client() as silent, server.client() as client:
        assert client.get("/hello.txt").body == HELLO
        assert server.total("connections") == 1  # the silent one is the kernel's yet
        assert client.get("/hello.txt").body == HELLO
        assert silent.get("/hello.txt").body == HELLO
    assert server.get("/hello.txt", **CLOSE).body == HELLO


def test_a_deferred_first_request_may_come_in_pieces_or_with_others(
    deferred: Callable[..., Server],
) -> None:
    server = deferred("receive_buffer_bytes = 4096\nreceive_buffers = 16")
    with server.client() as client:
        client.send(b"GET /hello.txt HT")
        time.sleep(0.02)
        client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
        assert client.read().body == HELLO
    with server.client() as client:
        client.send(request("/hello.txt") * 500)  # more than one read takes
        for _ in range(500):
            assert client.read().body == HELLO
    with server.client() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.read().status == 400
        assert client.closed()


def test_no_more_is_read_of_a_deferred_request_than_its_buffer_holds(
    deferred: Callable[..., Server], tmp_path: Path
) -> None:
    """Receive buffers may be larger than the buffer that it is read into. So much waits
    in a socket only where tcp_rmem allows it, so the system call has to tell."""
    server = deferred('receive_buffer_bytes = "1MiB"\nreceive_buffers = 16')
    with traced(server, "-e", "trace=recvfrom", log=str(tmp_path / "calls")) as log:
        assert server.get("/hello.txt").body == HELLO
    asked = [int(n) for n in re.findall(r", (\d+), MSG_DONTWAIT", log.read_text())]
    assert asked, "nothing was read"
    assert max(asked) <= COPY_BYTES


def test_who_connects_and_says_nothing_meets_the_timeout_also_when_deferred(
    deferred: Callable[..., Server],
) -> None:
    server = deferred('header_timeout = "300ms"')
    with server.client() as silent:
        assert silent.closed()
    assert server.total("timeouts_header_total") == 1


def test_clients_that_close_in_turn_need_one_slot(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    """The slot of a connection that ended is free for the next at once."""
    server = start("--config", config("[limits]\nmax_connections = 1\n"), "--cpus", "0")
    for _ in range(50):
        with server.client() as client:
            response = client.get("/hello.txt", **CLOSE)
            assert response.status == 200
            assert client.closed()
        server.wait("the slot", lambda: server.total("connections") == 0)


def test_an_ended_connection_is_gone_soon_after_its_peer(server: Server) -> None:
    """Whether the peer closes before or after it is looked for."""
    for pause in (0.0, 0.05):
        clients = [server.client() for _ in range(20)]
        for client in clients:
            assert client.get("/hello.txt", **CLOSE).body == HELLO
        time.sleep(pause)
        for client in clients:
            client.sock.close()
        began = time.monotonic()
        server.wait("all to be gone", lambda: server.total("connections") == 0)
        assert time.monotonic() - began < 1.0  # the linger timeout is longer


def test_a_last_response_that_waits_for_tokens_notices_a_peer_that_leaves(
    start: Callable[..., Server],
) -> None:
    server = start("--client-rate", "1kB/s", "--cpus", "0")
    with server.client() as hungry:
        hungry.send(request("/big"))  # its debt makes the others wait
        server.wait("parking", lambda: server.total("transfers_parked") == 1)
        clients = [server.client() for _ in range(20)]  # the first begin on debt
        for client in clients:
            client.send(request("/hello.txt", **CLOSE))
        server.wait("parking", lambda: server.total("transfers_parked") > 10)
        for client in clients:
            client.reset()
        server.wait("the end", lambda: server.total("connections") == 1, 1.0)
        hungry.reset()
