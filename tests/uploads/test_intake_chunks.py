"""Chunked bodies of requests that the engine leaves to Python."""

from __future__ import annotations

import contextlib
import os
import time

import pytest

from tests.uploads.intakes import Serving
from tests.uploads.test_intake import (
    content,
    part,
    put,
    random_bytes,
    response,
    served,
)

__all__ = ["part", "served"]


def chunked(data: bytes, size: int) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    lines = [b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in pieces]
    return b"".join(lines) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_chunks_are_decoded(served: Serving, part: int, size: int) -> None:
    data = random_bytes(1000 * min(size, 1000))
    with served.connect() as sock:
        sock.sendall(put(-1, b"Transfer-Encoding: chunked"))
        index, intake = served.next()
        assert intake.chunked
        assert intake.content_length is None
        intake.receive(part, 0, 1 << 30)
        sock.sendall(chunked(data, size) + b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        assert served.ended(index, intake) == (len(data), "complete", 0)
        assert content(part) == data
        intake.answer(200, b"", b"1")
        assert response(sock).endswith(b"\r\n\r\n1")
        assert response(sock).endswith(b"hello")
    assert served.engine.statistics()["pending_bytes"] == 0


def test_framing_is_no_way_around_what_a_body_may_bring(
    served: Serving, part: int
) -> None:
    with served.connect() as sock:
        sock.sendall(put(-1, b"Transfer-Encoding: chunked"))
        index, intake = served.next()
        intake.receive(part, 0, 100)
        with contextlib.suppress(OSError):
            sock.sendall(b"1;" + b"a" * (1 << 20))
        assert served.ended(index, intake)[1] == "failed"
        intake.answer(400, b"", b"")


def test_broken_framing_is_said_and_ends_the_connection(
    served: Serving, part: int
) -> None:
    with served.connect() as sock:
        sock.sendall(put(-1, b"Transfer-Encoding: chunked") + b"3\r\nabcX")
        index, intake = served.next()
        _, end, error = served.receive(index, intake, part, 0, 100)
        assert end == "failed"
        assert os.strerror(error) == "Bad message"
        intake.answer(400, b"", b"no")
        assert b"Connection: close" in response(sock)


def test_an_order_of_chunks_can_be_stopped_and_gone_on_with(
    served: Serving, part: int
) -> None:
    """Also in the middle of a chunk."""
    with served.connect() as sock:
        sock.sendall(put(-1, b"Transfer-Encoding: chunked") + b"6\r\nabc")
        index, intake = served.next()
        intake.receive(part, 0, 1 << 30)
        time.sleep(0.05)
        intake.stop()
        assert served.ended(index, intake) == (3, "stopped", 0)
        intake.receive(part, 3, 1 << 30)
        sock.sendall(b"def\r\n1\r\ng\r\n0\r\n\r\n")
        assert served.ended(index, intake) == (4, "complete", 0)
        assert content(part) == b"abcdefg"
        intake.answer(200, b"", b"")
        response(sock)
