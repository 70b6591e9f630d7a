"""Keep-alive, pipelining and the end of connections."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.serving import Server, request

HELLO = b"hello, world\n"


def test_a_connection_is_used_again_and_counted(server: Server) -> None:
    before = server.total("requests_reused_total")
    with server.client() as client:
        for _ in range(5):
            assert client.get("/hello.txt").body == HELLO
    assert server.total("requests_reused_total") == before + 4


@pytest.mark.parametrize("value", ["close", "Close\t", "close\t,x", "x,\tclose"])
def test_connection_close_is_honoured_and_announced(server: Server, value: str) -> None:
    with server.client() as client:
        response = client.get("/hello.txt", connection=value)
        assert response["connection"] == "close"
        assert client.closed()


@pytest.mark.parametrize(
    ("fields", "lives"), [({}, False), ({"c": "keep-alive"}, True)]
)
def test_http_1_0_closes_unless_asked(
    server: Server, fields: dict[str, str], lives: bool
) -> None:
    extra = {"connection": fields["c"]} if fields else {}
    with server.client() as client:
        client.send(request("/hello.txt", version="1.0", **extra))
        response = client.read()
        assert response.body == HELLO
        if lives:
            assert response["connection"].lower() == "keep-alive"
            client.send(request("/hello.txt", version="1.0", **extra))
            assert client.read().body == HELLO
        else:
            assert client.closed()


@pytest.mark.parametrize("count", [2, 16, 100, 1000])
def test_pipelined_requests_are_answered_in_order(server: Server, count: int) -> None:
    with server.client() as client:
        client.send(b"".join(request(f"/edge+0?{n}", "HEAD") for n in range(count)))
        for _ in range(count):
            assert client.read("HEAD").status == 200


def test_a_mixed_pipeline_keeps_its_order(server: Server, root: Path) -> None:
    big = (root / "big").read_bytes()
    tag = server.get("/hello.txt")["etag"]
    steps = [
        (request("/hello.txt"), "GET", 200, HELLO),
        (request("/big"), "GET", 200, big),
        (request("/nothing"), "GET", 404, None),
        (request("/hello.txt", "HEAD"), "HEAD", 200, b""),
        (request("/hello.txt", if_none_match=tag), "GET", 304, b""),
        (request("/big", range="bytes=5-9"), "GET", 206, big[5:10]),
        (request("/hello.txt", "DELETE"), "DELETE", 405, None),
        (request("/empty"), "GET", 200, b""),
        (request("/1m", connection="close"), "GET", 200, None),
    ]
    with server.client() as client:
        client.send(b"".join(step[0] for step in steps))
        for _, method, status, body in steps:
            response = client.read(method)
            assert response.status == status
            if body is not None:
                assert response.body == body
        assert client.closed()


def test_a_pipeline_split_at_every_byte(server: Server) -> None:
    stream = request("/hello.txt") + request("/nothing")
    with server.client() as client:
        for at in range(1, len(stream)):
            client.send(stream[:at])
            client.send(stream[at:])
            assert client.read().body == HELLO
            assert client.read().status == 404


def test_a_request_sent_byte_by_byte(server: Server) -> None:
    with server.client() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("/hello.txt", range="bytes=0-4"):
            client.send(bytes([byte]))
        assert client.read().body == b"hello"


def test_a_peer_that_closes_its_side_still_gets_its_answers(server: Server) -> None:
    with server.client() as client:
        client.send(request("/1m") + request("/hello.txt"))
        client.sock.shutdown(socket.SHUT_WR)
        assert len(client.read().body) == 1 << 20
        assert client.read().body == HELLO
        assert client.closed()


def test_blank_lines_before_a_request_are_ignored(server: Server) -> None:
    with server.client() as client:
        client.send(b"\r\n\r\n" + request("/hello.txt"))
        assert client.read().body == HELLO


def test_a_client_that_sends_on_after_a_refusal_still_reads_it(server: Server) -> None:
    body = b"x" * 900_000
    for _ in range(20):
        with server.client() as client:
            head = request("/hello.txt", "POST", content_length=str(len(body)))
            client.send(head + body)
            assert client.read().status == 413
            assert client.closed()


def test_a_burst_of_pipelined_requests_is_answered_whole(server: Server) -> None:
    """More than a connection is let to keep, all here before the first answer is."""
    count = 20000
    with server.client(timeout=20) as client:
        sender = threading.Thread(
            target=client.send, args=(request("/hello.txt", "HEAD") * count,)
        )
        sender.start()
        for _ in range(count):
            assert client.read("HEAD").status == 200
        sender.join()


def test_much_pipelined_input_is_held_back_and_then_served(server: Server) -> None:
    """More than the engine keeps: the TCP window closes, nothing is lost."""
    count = 4000
    with server.client(timeout=20) as client:
        client.send(request("/big"))
        client.sock.settimeout(0.5)
        sent, block = 0, request("/hello.txt")
        data = block * count
        try:
            while sent < len(data):
                sent += client.sock.send(data[sent : sent + 65536])
        except TimeoutError:
            pass
        client.sock.settimeout(20)
        assert client.read().status == 200
        whole = sent // len(block)
        for _ in range(whole):
            assert client.read().body == HELLO


def test_http_1_0_needs_no_host(server: Server) -> None:
    with server.client() as client:
        client.send(b"GET /hello.txt HTTP/1.0\r\n\r\n")
        response = client.read()
        assert (response.status, response.body) == (200, HELLO)
        assert response["connection"] == "close"
        assert client.closed()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET /hello.txt HTTP/1.0\r\n\r\n",
    ],
)
def test_who_sends_more_after_the_last_request_still_gets_the_whole_response(
    server: Server, head: bytes
) -> None:
    """An immediate close would answer it with an RST, which destroys what was not read
    yet (RFC 9112 section 9.6)."""
    for _ in range(20):
        with server.client() as client:
            client.send(head)
            client.send(b"\r\n")  # as some clients of old did
            time.sleep(0.002)  # the response and our end are on their way
            client.send(b"GET /never HTTP/1.1\r\n")
            assert client.read().body == HELLO
            assert client.closed()
