"""Where one request ends: what two readers could see differently is refused."""

from __future__ import annotations

import pytest

from tests.serving import Server, request

HELLO = b"hello, world\n"
CHUNKED = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    "trailer", [b"Range: bytes=0-1", b"If-None-Match: *", b"Connection: close"]
)
def test_trailers_neither_ask_nor_close(server: Server, trailer: bytes) -> None:
    with server.client() as client:
        client.send(CHUNKED + b"1\r\nx\r\n0\r\n" + trailer + b"\r\n\r\n")
        client.send(request("/hello.txt"))
        for _ in range(2):
            response = client.read()
            assert (response.status, response.body) == (200, HELLO)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding:\r\n", 400),
        (b"Transfer-Encoding:\r\nContent-Length: 5\r\n", 400),
        (b"Transfer-Encoding: \r\n", 400),
        (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked, gzip\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: foo, chunked\r\n", 501),
        (b"Transfer-Encoding: ,chunked\r\n", 501),
    ],
)
def test_a_body_with_two_possible_ends_is_refused_and_closed(
    server: Server, lines: bytes, status: int
) -> None:
    with server.client() as client:
        client.send(HEAD + lines + b"\r\n0\r\n\r\n" + request("/hello.txt"))
        response = client.read()
        assert (response.status, response["connection"]) == (status, "close")
        assert client.closed()


def test_http_1_0_has_no_transfer_coding(server: Server) -> None:
    with server.client() as client:
        head = CHUNKED.replace(b"1.1", b"1.0")
        client.send(head[:-2] + b"Connection: keep-alive\r\n\r\n0\r\n\r\n")
        response = client.read()
        assert (response.status, response["connection"]) == (400, "close")
        assert client.closed()


@pytest.mark.parametrize("coding", [b"chunked", b"CHUNKED", b"\tChunked "])
def test_chunked_alone_is_read(server: Server, coding: bytes) -> None:
    with server.client() as client:
        head = CHUNKED.replace(b"chunked", coding)
        client.send(head + b"1\r\nx\r\n0\r\n\r\n" + request("/hello.txt"))
        assert [client.read().status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("start", "filler", "status", "enough"),
    [
        (b"GET ", b" ", 431, 45_000),
        (HEAD + b"X:", b"\t", 431, 45_000),
        (CHUNKED + b"1;", b"x", 413, 570_000),
        (CHUNKED, b"0", 413, 570_000),
    ],
)
def test_bytes_that_mean_nothing_are_bounded(
    server: Server, start: bytes, filler: bytes, status: int, enough: int
) -> None:
    with server.client() as client:
        client.send(start + filler * enough)
        assert client.read().status == status
