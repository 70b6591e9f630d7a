"""An engine's requests as Trio tasks."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from penstock.uploads import bridge
from penstock.uploads.bridge import Bridge, Handle
from penstock.uploads.model import End, Intake, Received
from tests.uploads.intakes import Serving, serving


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as found:
        yield found


@pytest.fixture
def part(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@asynccontextmanager
async def bridged(served: Serving, handle: Handle) -> AsyncIterator[trio.CancelScope]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Bridge(served.engine, handle).run)
        yield nursery.cancel_scope
        nursery.cancel_scope.cancel()


async def exchange(served: Serving, data: bytes) -> bytes:
    """All that is answered until the connection ends."""
    stream = await trio.open_tcp_stream("127.0.0.1", served.port)
    async with stream:
        await stream.send_all(data)
        found = b""
        with trio.fail_after(5):
            async for piece in stream:
                found += piece
        return found


def put(body: bytes, *fields: str) -> bytes:
    lines = ["PUT /upload?a=b HTTP/1.1", "Host: x", "Connection: close", *fields]
    if not fields:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_a_request_is_one_task_that_reads_and_answers(
    served: Serving, part: int
) -> None:
    seen = []

    async def handle(intake: Intake) -> None:
        seen.append(await intake.receive(part, 0, 100))
        assert intake.head.method == "PUT"
        assert intake.head.target == "/upload?a=b"
        assert intake.head.get("host") == "x"
        await intake.respond(200, [("X-Y", "z")], b"ok")

    async with bridged(served, handle):
        answer = await exchange(served, put(b"abc"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok")
    assert seen == [Received(3, End.COMPLETE)]
    assert os.pread(part, 9, 0) == b"abc"


@pytest.mark.parametrize(("most", "ends"), [(2, False), (3, True), (4, True)])
@pytest.mark.parametrize("sized", [False, True])
async def test_it_is_known_whether_more_comes(
    served: Serving, part: int, most: int, ends: bool, sized: bool
) -> None:
    seen = []

    async def handle(intake: Intake) -> None:
        found = await intake.receive(part, 0, most)
        seen.append((found.n_bytes, await intake.ended()))
        await intake.respond(200)

    chunks = b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    body = put(b"abc") if sized else put(chunks, "Transfer-Encoding: chunked")
    async with bridged(served, handle):
        await exchange(served, body)
    assert seen == [(min(most, 3), ends)]


async def test_a_bug_ends_its_own_connection_and_is_logged(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(intake: Intake) -> None:
        if intake.head.content_length:
            raise KeyError("oh")
        await intake.respond(204)

    async with bridged(served, handle):
        with caplog.at_level(logging.ERROR):
            assert await exchange(served, put(b"abc")) == b""
        assert (await exchange(served, put(b""))).startswith(b"HTTP/1.1 204 ")
    assert "PUT /upload?a=b" in caplog.text


async def test_an_answer_that_can_not_be_given_ends_the_connection(
    served: Serving,
) -> None:
    async def handle(intake: Intake) -> None:
        await intake.respond(200, [("X-Y", "\u2028")])

    async with bridged(served, handle):
        assert await exchange(served, put(b"abc")) == b""


async def test_who_does_not_answer_ends_the_connection(served: Serving) -> None:
    async def handle(intake: Intake) -> None:
        await trio.lowlevel.checkpoint()

    async with bridged(served, handle):
        assert await exchange(served, put(b"abc")) == b""


async def test_a_newer_task_can_stop_an_older_one(served: Serving, part: int) -> None:
    seen = []
    older: list[Intake] = []
    began = trio.Event()

    async def handle(intake: Intake) -> None:
        for other in older:
            other.stop()
        older.append(intake)
        began.set()
        seen.append(await intake.receive(part, 0, 6))
        await intake.respond(409)

    async with bridged(served, handle), trio.open_nursery() as nursery:
        nursery.start_soon(exchange, served, put(b"", "Content-Length: 6") + b"abc")
        await began.wait()
        await exchange(served, put(b"defghi"))
    assert sorted(seen, key=lambda r: r.n_bytes) == [
        Received(3, End.PREEMPTED),
        Received(6, End.COMPLETE),
    ]


async def test_the_end_of_the_bridge_waits_for_what_is_written(
    served: Serving, part: int
) -> None:
    """A file that is closed while the engine writes to its number is another one."""
    ended = []

    async def handle(intake: Intake) -> None:
        try:
            await intake.receive(part, 0, 1 << 30)
        finally:
            ended.append(os.pread(part, 9, 0))

    stream = await trio.open_tcp_stream("127.0.0.1", served.port)
    async with bridged(served, handle):
        await stream.send_all(put(b"", "Content-Length: 100") + b"abc")
        await trio.sleep(0.1)
    await stream.aclose()
    assert ended == [b"abc"]


async def test_what_came_before_the_end_is_not_lost(served: Serving, part: int) -> None:
    seen: list[Received] = []

    async def handle(intake: Intake) -> None:
        received = await intake.receive(part, 0, 1 << 30)
        await trio.lowlevel.checkpoint()  # on its way to the disk
        seen.append(received)

    stream = await trio.open_tcp_stream("127.0.0.1", served.port)
    async with bridged(served, handle):
        await stream.send_all(put(b"", "Content-Length: 100") + b"abc")
        await trio.sleep(0.1)
    await stream.aclose()
    assert seen == [Received(3, End.PREEMPTED)]


async def test_what_does_not_end_is_let_go_of(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "LAST_SECONDS", 0.05)

    async def handle(_: Intake) -> None:
        await trio.sleep_forever()

    stream = await trio.open_tcp_stream("127.0.0.1", served.port)
    with trio.fail_after(1):
        async with bridged(served, handle):
            await stream.send_all(put(b""))
            await trio.sleep(0.1)
    await stream.aclose()
