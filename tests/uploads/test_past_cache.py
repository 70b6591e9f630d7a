"""Large pieces of bodies that come fast are written past the page cache."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import _engine
from tests.uploads.intakes import PastCache, Serving, direct, serving
from tests.uploads.test_intake import content, put, random_bytes

DATA = random_bytes((24 << 20) + 777)
BLOCKS = 4


@pytest.fixture
def part(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    other = direct(fd)
    if other < 0:
        pytest.skip("the file system has no O_DIRECT")
    os.close(other)
    yield fd
    os.close(fd)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path, write_path=0) as found:
        found.past_cache = True
        yield found
        until_idle(found)


def until_idle(served: Serving) -> None:
    """Nothing is held any more."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        now = served.engine.statistics()
        if now["intakes"] == now["blocks"] == now["pipes"] == 0:
            return
        time.sleep(0.01)
    raise AssertionError(now)


@contextlib.contextmanager
def bringing(sock: socket.socket, data: bytes) -> Iterator[None]:
    """In a thread, as fast as it goes."""

    def send() -> None:
        with contextlib.suppress(OSError):
            sock.sendall(data)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        assert not thread.is_alive()


def past_cache(served: Serving) -> int:
    return served.engine.statistics()["bytes_past_cache_total"]


def until_past_cache(served: Serving, more_than: int) -> None:
    until = time.monotonic() + 5
    while past_cache(served) <= more_than:
        assert time.monotonic() < until, served.engine.statistics()
        time.sleep(0.001)


@pytest.mark.parametrize("offset", [0, 4096, 1, 4095, 1 << 20, 123_457])
def test_all_of_it_is_in_the_file_wherever_it_begins(
    served: Serving, part: int, offset: int
) -> None:
    with served.connect() as sock, bringing(sock, put(len(DATA)) + DATA):
        index, intake = served.next()
        got = served.receive(index, intake, part, offset, len(DATA))
        intake.answer(200, b"", b"")
    assert got == (len(DATA), "complete", 0)
    assert content(part) == bytes(offset) + DATA
    assert past_cache(served) > len(DATA) // 2


@pytest.mark.parametrize("piece", [5 << 20, (5 << 20) + 1, 3_000_001])
def test_orders_may_end_anywhere(served: Serving, part: int, piece: int) -> None:
    done = 0
    with served.connect() as sock, bringing(sock, put(len(DATA)) + DATA):
        index, intake = served.next()
        while done < len(DATA):
            n, end, error = served.receive(index, intake, part, done, piece)
            assert end in ("enough", "complete"), error
            done += n
        intake.answer(200, b"", b"")
    assert content(part) == DATA
    assert past_cache(served) > 0


def test_a_file_system_with_other_rules_gets_it_through_the_cache(
    served: Serving, part: int
) -> None:
    served.past_cache = False
    # To write into this one, and no number, is EINVAL.
    other = Path("/proc/self/coredump_filter")
    with (
        other.open("wb", buffering=0) as file,
        served.connect() as sock,
        bringing(sock, put(len(DATA)) + DATA),
    ):
        index, intake = served.next()
        assert isinstance(intake, _engine.Intake)
        intake.receive(part, 0, len(DATA), file.fileno())
        assert served.ended(index, intake) == (len(DATA), "complete", 0)
        intake.answer(200, b"", b"")
    assert content(part) == DATA
    assert past_cache(served) == 0


def test_a_file_that_no_pipe_can_be_spliced_into_is_an_error(
    served: Serving, part: int, tmp_path: Path
) -> None:
    """Also of an upload that went past the cache before."""
    with (
        (tmp_path / "log").open("ab") as appended,
        served.connect() as sock,
        bringing(sock, put(1 << 40) + DATA),
    ):
        index, intake = served.next()
        assert isinstance(intake, PastCache)
        assert served.receive(index, intake, part, 0, 16 << 20)[1] == "enough"
        intake.forget()
        got = served.receive(index, intake, appended.fileno(), 0, 900_000)
        intake.drop()
    assert got[1:] in (("failed", errno.EINVAL), ("enough", 0))


def test_who_stalls_is_late_in_time_and_what_came_is_not_left_in_the_kernel(
    tmp_path: Path, part: int
) -> None:
    with serving(tmp_path, body_timeout_ns=3_000_000_000) as served:
        served.past_cache = True
        with served.connect() as sock:
            with bringing(sock, put(1 << 40) + DATA):
                index, intake = served.next()
                intake.receive(part, 0, 1 << 40)
            until = time.monotonic() + 2.5
            while os.fstat(part).st_size < len(DATA) - (128 << 10):
                assert time.monotonic() < until
                time.sleep(0.01)
            assert served.ended(index, intake) == (len(DATA), "timeout", 0)
            assert time.monotonic() < until + 2
            intake.drop()


def test_what_came_before_the_client_left_is_in_the_file(
    served: Serving, part: int
) -> None:
    with served.connect() as sock:
        with bringing(sock, put(1 << 40) + DATA):
            index, intake = served.next()
            intake.receive(part, 0, 1 << 40)
        sock.shutdown(socket.SHUT_WR)
        assert served.ended(index, intake) == (len(DATA), "cut", 0)
    assert content(part) == DATA
    intake.drop()


def test_an_order_that_is_stopped_keeps_what_had_come_and_no_more(
    served: Serving, part: int
) -> None:
    """Also of a client that never pauses."""
    with served.connect() as sock, bringing(sock, put(1 << 40) + 8 * DATA):
        index, intake = served.next()
        intake.receive(part, 0, 1 << 40)
        until_past_cache(served, 4 << 20)
        intake.stop()
        n, end, _ = served.ended(index, intake)
        assert end == "stopped"
        kept = content(part)
        assert len(kept) == n > 4 << 20
        assert kept == (8 * DATA)[:n]
        intake.drop()
    until_idle(served)


def test_connections_that_are_reset_give_everything_back(
    served: Serving, part: int
) -> None:
    for _ in range(2 * BLOCKS):
        before = past_cache(served)
        with served.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with bringing(sock, put(1 << 40) + DATA):
                _, intake = served.next()
                intake.receive(part, 0, 1 << 40)
                until_past_cache(served, before)
                sock.shutdown(socket.SHUT_RDWR)
        del intake
    until_idle(served)


def test_more_clients_than_blocks_all_get_through(
    served: Serving, tmp_path: Path
) -> None:
    count = BLOCKS + 3
    fds = [os.open(tmp_path / f"part{i}", os.O_RDWR | os.O_CREAT) for i in range(count)]
    with contextlib.ExitStack() as stack:
        begun: dict[int, tuple[_engine.Intake | PastCache, int]] = {}
        for fd in fds:
            sock = stack.enter_context(served.connect())
            stack.enter_context(bringing(sock, put(len(DATA)) + DATA))
            index, intake = served.next()
            intake.receive(fd, 0, len(DATA))
            begun[index] = (intake, fd)
        for index, (intake, _) in begun.items():
            assert served.ended(index, intake) == (len(DATA), "complete", 0)
            intake.answer(200, b"", b"")
    for fd in fds:
        assert content(fd) == DATA
        os.close(fd)


def test_who_stops_in_the_middle_holds_nothing_and_keeps_nobody_busy(
    served: Serving, part: int
) -> None:
    with served.connect() as sock:
        with bringing(sock, put(1 << 40) + DATA):
            index, intake = served.next()
            intake.receive(part, 0, 1 << 40)
        until = time.monotonic() + 5
        while len(content(part)) < len(DATA) - (1 << 20):
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.2)
        before = served.engine.statistics()
        assert before["blocks"] == before["pipes"] == 0
        time.sleep(0.3)
        assert served.engine.statistics()["loops_total"] - before["loops_total"] < 10
        intake.stop()
        assert served.ended(index, intake)[:2] == (len(DATA), "stopped")
        intake.drop()
    assert content(part) == DATA
