"""Requests that are refused: the right status, and what becomes of the connection."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.serving import Server, request

HOST = b"Host: h\r\n"

# Framing is lost or must not be trusted: a status, and the end.
FATAL = [
    (b"GET /\r\n\r\n", 505),  # HTTP/0.9
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 400),
    (b"GET /hello.txt RTSP/1.0\r\n" + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nContent-Length: 5\r\n"
     b"\r\nabcd", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +4\r\n\r\nabcd", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 65537\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n"
     b"Expect: 100-continue\r\n\r\n", 405),
    (b"PROPFIND / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n"
     b"Expect: 100-continue\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Expect: wonders\r\n\r\n", 417),
    (request("/" + "a" * 8200), 414),
    (request("/", x_large="b" * 33000), 431),
    (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 101 + b"\r\n", 431),
]  # fmt: skip


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize(("data", "status"), FATAL)
def test_a_broken_request_is_told_and_closed(
    server: Server, data: bytes, status: int, cut: int
) -> None:
    with server.client() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(data[:cut])
        client.send(data[cut:])
        response = client.read()
        assert response.status == status
        assert response["connection"] == "close"
        assert response.body.startswith(str(status).encode())
        assert client.closed()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/" + "a" * 8200, "HEAD"), 414),
        (request("/", "HEAD", x_large="b" * 33000), 431),
        (b"HEAD / HTTP/1.1\r\nno colon here\r\n\r\n", 400),
        (b"HEAD / HTTP/1.1\r\n\r\n", 400),
        (b"HEAD / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"HEAD / HTTP/1.1\r\n" + HOST + b"Expect: wonders\r\n\r\n", 417),
    ],
)
def test_a_broken_head_request_is_told_without_a_body(
    server: Server, data: bytes, status: int
) -> None:
    with server.client() as client:
        client.send(data)
        response = client.read("HEAD")
        assert response.status == status
        assert int(response["content-length"]) > 0
        assert client.closed()


@pytest.mark.parametrize("expect", [b"100-continue", b"wonders"])
def test_http_1_0_has_no_expectations(server: Server, expect: bytes) -> None:
    with server.client() as client:
        client.send(
            b"POST / HTTP/1.0\r\nContent-Length: 4\r\nExpect: " + expect + b"\r\n\r\n"
        )
        client.send(b"abcd")
        assert client.read().status == 405


# The message was read to its end: the next one is answered.
LIVING = [
    (request("/nothing"), 404),
    (request("/%zz"), 400),
    (request("/a%2fb"), 400),
    (request("/a%00b"), 400),
    (request("/../../etc/passwd"), 400),
    (request("/%zz", "OPTIONS"), 400),
    (request("/../..", "OPTIONS"), 400),
    (request("*"), 400),
    (b"PATCH /hello.txt HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nabcd", 405),
    (b"POST /hello.txt HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
     b"4\r\nabcd\r\n0\r\n\r\n", 405),
    (b"PROPFIND / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"GET /hello.txt HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nabcd", 200),
    (b"GET /hello.txt HTTP/1.1\r\nHost:\r\n\r\n", 200),
    (b"GET /hello.txt HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
    (b"GET /hello.txt HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\n"
     b"Connection: Upgrade\r\n\r\n", 200),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), LIVING)
def test_a_refused_request_leaves_the_connection_usable(
    server: Server, data: bytes, status: int
) -> None:
    with server.client() as client:
        for _ in range(2):
            client.send(data)
            response = client.read()
            assert response.status == status
            if status == 405:
                assert response["allow"] == "GET, HEAD, OPTIONS"
        assert client.get("/hello.txt").status == 200


def test_a_body_that_grows_past_its_bound_is_413(server: Server) -> None:
    with server.client() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 17
        )
        assert client.read().status == 413


def test_a_slow_head_is_408_and_silence_just_a_close(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    server = start("--config", config('[limits]\nheader_timeout = "300ms"\n'))
    with server.client() as slow, server.client() as head, server.client() as silent:
        slow.send(b"GET / HT")
        head.send(b"HEAD ")
        response = slow.read()
        assert response.status == 408
        assert response.body == b"408 Request Timeout\n"
        assert slow.closed()
        assert head.read("HEAD").status == 408
        assert head.closed()
        assert silent.closed()
    assert server.total("timeouts_header_total") == 3


def test_an_idle_connection_is_closed_after_its_time(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    server = start("--config", config('[limits]\nidle_timeout = "300ms"\n'))
    with server.client() as client:
        assert client.get("/hello.txt").status == 200
        assert client.closed()
    assert server.total("timeouts_idle_total") == 1


def test_beyond_max_connections_a_client_is_told_503(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    server = start("--config", config("[limits]\nmax_connections = 2\n"), "--cpus", "0")
    with server.client() as one, server.client() as two:
        assert one.get("/hello.txt").status == 200
        assert two.get("/hello.txt").status == 200
        with server.client() as three:
            response = three.get("/hello.txt")
            assert response.status == 503
            assert int(response["retry-after"]) >= 1
            assert three.closed()
        assert one.get("/hello.txt").status == 200
    server.wait("slots to be free", lambda: server.total("connections") == 0)
    assert server.get("/hello.txt").status == 200


def test_limits_can_be_set(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    server = start(
        "--config",
        config(
            "[limits]\nmax_request_line_bytes = 100\nmax_headers = 4\n"
            "max_header_bytes = 300\nmax_ranges = 2\nmax_body_bytes = 3\n"
        ),
    )
    assert server.get("/" + "a" * 98).status == 404
    assert server.get("/" + "a" * 101).status == 414
    assert server.get("/", a="1", b="2", c="3").status == 200
    assert server.get("/", a="1", b="2", c="3", d="4").status == 431
    assert server.get("/", a="b" * 300).status == 431
    assert server.get("/hello.txt", range="bytes=0-0,2-2").status == 206
    assert server.get("/hello.txt", range="bytes=0-0,2-2,4-4").status == 200
