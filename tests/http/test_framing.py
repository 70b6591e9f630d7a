"""Where one request ends: what two readers could see differently is refused."""

from __future__ import annotations

import pytest

from tests.serving import Server, request

HELLO = b"hello, world\n"
CHUNKED = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


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
