"""Requests that the engine leaves to Python, and bodies that go into files."""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.uploads.intakes import Serving, serving

WRITE_PATHS = {"splice": 1, "copy": 2, "direct": 3}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(params=list(WRITE_PATHS))
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Serving]:
    (tmp_path / "a.txt").write_bytes(b"hello")
    with serving(tmp_path, write_path=WRITE_PATHS[request.param]) as found:
        found.past_cache = request.param == "direct"
        yield found


@pytest.fixture
def part(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def put(n: int, *fields: bytes, target: bytes = b"/upload?upload_id=7") -> bytes:
    lines = [b"PUT " + target + b" HTTP/1.1", b"Host: x", *fields]
    if n >= 0:
        lines.append(b"Content-Length: %d" % n)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def response(sock: socket.socket) -> bytes:
    """A head and its body, and nothing of what follows."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = sock.recv(1)
        assert got, head
        head += got
    body = b""
    for line in head.split(b"\r\n"):
        if line.startswith(b"Content-Length:"):
            n = int(line.split(b":")[1])
            body = sock.recv(n, socket.MSG_WAITALL) if n else b""
    return head + body


def content(fd: int) -> bytes:
    return os.pread(fd, 1 << 26, 0)


def random_bytes(n: int) -> bytes:
    return random.Random(n).randbytes(n)


@pytest.mark.parametrize("n", [1, 1000, 131_072, 131_073, 5_000_000])
def test_a_body_is_in_the_file_at_its_offset(
    served: Serving, part: int, n: int
) -> None:
    data = random_bytes(n)
    with served.connect() as sock:
        sock.sendall(put(n))
        index, intake = served.next()
        assert intake.content_length == n
        intake.receive(part, 5, n)
        sock.sendall(data)
        assert served.ended(index, intake) == (n, "complete", 0)
        assert content(part) == bytes(5) + data
        intake.answer(200, b"X-Y: z\r\n", b"ok")
        answer = response(sock)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nX-Y: z\r\n" in answer
        assert answer.endswith(b"\r\n\r\nok")
        # The connection goes on.
        sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        assert response(sock).endswith(b"hello")


def test_the_head_has_all_fields_as_they_came(served: Serving) -> None:
    with served.connect() as sock:
        head = put(0, b"Upload-Length: 9", b"X-Empty:", b"x-twice: 1", b"X-Twice: 2 ")
        for at in range(0, len(head), 7):  # in pieces
            sock.sendall(head[at : at + 7])
            time.sleep(0.001)
        _, intake = served.next()
        lines = [line.strip() for line in intake.head.split(b"\r\n")]
        assert lines == [
            b"PUT /upload?upload_id=7",
            b"Host: x",
            b"Upload-Length: 9",
            b"X-Empty:",
            b"x-twice: 1",
            b"X-Twice: 2",
            b"Content-Length: 0",
            b"",
        ]
        assert intake.client_id == "127.0.0.1"
        intake.answer(204, b"", b"")
        assert response(sock).startswith(b"HTTP/1.1 204 ")


def test_what_came_with_the_head_is_not_lost(served: Serving, part: int) -> None:
    data = random_bytes(30_000)
    with served.connect() as sock:
        sock.sendall(put(len(data)) + data + b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        index, intake = served.next()
        assert served.receive(index, intake, part, 0, 1 << 20)[:2] == (
            30_000,
            "complete",
        )
        assert content(part) == data
        intake.answer(200, b"", b"1")
        assert response(sock).endswith(b"\r\n\r\n1")
        assert response(sock).endswith(b"hello")


def test_a_client_that_waits_for_100_is_told_when_its_body_is_wanted(
    served: Serving, part: int
) -> None:
    with served.connect() as sock:
        sock.sendall(put(3, b"Expect: 100-continue"))
        index, intake = served.next()
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(5)
        intake.receive(part, 0, 3)
        assert sock.recv(100) == CONTINUE
        sock.sendall(b"abc")
        assert served.ended(index, intake) == (3, "complete", 0)
        intake.answer(201, b"Location: /x\r\n", b"")
        assert response(sock).startswith(b"HTTP/1.1 201 Created\r\n")


def test_a_refusal_comes_before_a_byte_of_the_body_is_asked_for(
    served: Serving,
) -> None:
    with served.connect() as sock:
        sock.sendall(put(1 << 40, b"Expect: 100-continue"))
        _, intake = served.next()
        intake.answer(413, b"", b"too large")
        answer = response(sock)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"Connection: close" in answer
        assert sock.recv(1) == b""


def test_the_beginning_of_a_body_that_is_cut_is_in_the_file(
    served: Serving, part: int
) -> None:
    with served.connect() as sock:
        sock.sendall(put(1000) + b"x" * 300)
        index, intake = served.next()
        intake.receive(part, 0, 1000)
        time.sleep(0.05)
    assert served.ended(index, intake)[:2] == (300, "cut")
    assert content(part) == b"x" * 300
    intake.answer(200, b"", b"")  # to nobody


@pytest.mark.parametrize("n", [1000, 1_000_000])
def test_who_brings_nothing_for_too_long_is_late(
    tmp_path: Path, part: int, n: int
) -> None:
    limits = {"body_timeout_ns": 200_000_000}
    with serving(tmp_path, **limits) as served, served.connect() as sock:
        sock.sendall(put(n) + b"abc")
        index, intake = served.next()
        assert served.receive(index, intake, part, 0, n) == (3, "timeout", 0)
        assert content(part) == b"abc"
        intake.answer(408, b"", b"")
        assert response(sock).startswith(b"HTTP/1.1 408 ")


def test_of_an_engine_that_has_ended_nothing_comes_any_more(
    tmp_path: Path, part: int
) -> None:
    with serving(tmp_path) as served:
        sock = served.connect()
        sock.sendall(put(1000) + b"abc")
        index, intake = served.next()
    sock.close()
    assert served.receive(index, intake, part, 0, 1000) == (0, "cut", 0)
    intake.answer(200, b"", b"")


def test_who_brings_a_little_now_and_then_is_not_late(
    tmp_path: Path, part: int
) -> None:
    """Less than what we would rather wait for, and the deadline passes often."""
    limits = {"body_timeout_ns": 100_000_000}
    with serving(tmp_path, **limits) as served, served.connect() as sock:
        sock.sendall(put(200_000))
        index, intake = served.next()
        intake.receive(part, 0, 200_000)
        for _ in range(20):
            sock.sendall(b"x" * 10_000)
            time.sleep(0.03)
        assert served.ended(index, intake) == (200_000, "complete", 0)
        intake.answer(200, b"", b"")
        response(sock)


@pytest.mark.parametrize(("n", "first"), [(100_000, 65_536), (600_000, 570_000)])
def test_the_last_few_bytes_are_not_waited_for_as_if_they_were_many(
    served: Serving, part: int, n: int, first: int
) -> None:
    data = random_bytes(n)
    with served.connect() as sock:
        sock.sendall(put(n))
        index, intake = served.next()
        intake.receive(part, 0, n)
        time.sleep(0.02)
        sock.sendall(data[:first])
        time.sleep(0.05)
        sock.sendall(data[first:])
        assert served.ended(index, intake) == (n, "complete", 0)
        assert content(part) == data
        intake.answer(200, b"", b"")
        response(sock)


def test_what_has_come_when_an_order_is_stopped_is_in_the_file(
    served: Serving, part: int
) -> None:
    """Also when it is less than what we would rather wait for."""
    with served.connect() as sock:
        sock.sendall(put(1_000_000))
        index, intake = served.next()
        intake.receive(part, 0, 1_000_000)
        time.sleep(0.02)
        sock.sendall(b"x" * 10_000)
        time.sleep(0.05)
        intake.stop()
        assert served.ended(index, intake) == (10_000, "stopped", 0)
        assert content(part) == b"x" * 10_000
        intake.answer(409, b"", b"")
        response(sock)


def test_an_order_can_be_stopped_and_gone_on_with(served: Serving, part: int) -> None:
    with served.connect() as sock:
        sock.sendall(put(6) + b"abc")
        index, intake = served.next()
        intake.receive(part, 0, 6)
        time.sleep(0.05)
        intake.stop()
        assert served.ended(index, intake) == (3, "stopped", 0)
        intake.receive(part, 3, 3)
        sock.sendall(b"def")
        assert served.ended(index, intake) == (3, "complete", 0)
        assert content(part) == b"abcdef"
        intake.answer(200, b"", b"")
        response(sock)


def test_a_body_can_go_into_several_places(served: Serving, part: int) -> None:
    with served.connect() as sock:
        sock.sendall(put(6) + b"abcdef")
        index, intake = served.next()
        assert served.receive(index, intake, part, 10, 2) == (2, "enough", 0)
        assert served.receive(index, intake, part, 0, 4) == (4, "complete", 0)
        assert content(part) == b"cdef" + bytes(6) + b"ab"
        intake.answer(200, b"", b"")
        response(sock)


def test_a_file_that_can_not_be_written_is_an_error_that_says_why(
    served: Serving, tmp_path: Path
) -> None:
    fd = os.open(tmp_path / "a.txt", os.O_RDONLY)
    with served.connect() as sock:
        sock.sendall(put(3) + b"abc")
        index, intake = served.next()
        n, end, error = served.receive(index, intake, fd, 0, 3)
        assert (n, end) == (0, "failed")
        assert os.strerror(error) == "Bad file descriptor"
        intake.answer(500, b"", b"")
        assert response(sock).startswith(b"HTTP/1.1 500 ")
    os.close(fd)


def test_an_intake_that_is_let_go_of_ends_its_connection(served: Serving) -> None:
    with served.connect() as sock:
        sock.sendall(put(3) + b"abc")
        served.next()[1].drop()
        assert sock.recv(1) == b""
    with served.connect() as sock:
        sock.sendall(put(3) + b"abc")
        served.next()  # and forgotten
        assert sock.recv(1) == b""


@pytest.mark.parametrize("n", [1000, 1_000_000])
def test_one_that_is_forgotten_in_the_middle_of_an_order_ends_when_that_has_ended(
    served: Serving, part: int, n: int
) -> None:
    with served.connect() as sock:
        sock.sendall(put(n) + b"abc")
        _, intake = served.next()
        intake.receive(part, 0, n)
        time.sleep(0.05)
        del intake
        assert sock.recv(1) == b""
    for _ in range(50):
        if served.engine.statistics()["intakes"] == 0:
            break
        time.sleep(0.02)
    assert served.engine.statistics()["intakes"] == 0


@pytest.mark.parametrize("fields", [[], [b"Transfer-Encoding: chunked"]])
def test_connections_that_are_reset_in_the_middle_leave_nothing(
    served: Serving, part: int, fields: list[bytes]
) -> None:
    for i in range(40):
        sock = served.connect()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(put(-1 if fields else 1_000_000, *fields))
        index, intake = served.next()
        intake.receive(part, 0, 1_000_000)
        sock.sendall(b"5\r\nabcde\r\n" * (i % 7) * 1000)
        sock.close()
        assert served.ended(index, intake)[1] in ("cut", "failed")
        intake.answer(200, b"", b"")
    for _ in range(50):
        if served.engine.statistics()["intakes"] == 0:
            break
        time.sleep(0.02)
    assert served.engine.statistics()["intakes"] == 0
    assert served.engine.statistics()["pipes"] == 0


def test_more_than_can_be_taken_in_at_once_are_told_to_come_back(
    served: Serving,
) -> None:
    socks = [served.connect() for _ in range(9)]
    for sock in socks:
        sock.sendall(put(3))
    ready, _, _ = select.select(socks, [], [], 5)
    answer = response(ready[0])
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in answer
    for sock in socks:
        sock.close()


def test_downloads_below_the_same_path_are_files(served: Serving) -> None:
    with served.connect() as sock:
        sock.sendall(b"GET /files HTTP/1.1\r\nHost: x\r\n\r\n")
        assert response(sock).startswith(b"HTTP/1.1 404 ")
        sock.sendall(b"PUT /filesystem HTTP/1.1\r\nHost: x\r\n\r\n")
        assert response(sock).startswith(b"HTTP/1.1 405 ")
