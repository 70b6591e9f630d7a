"""What comes slowly is durable after some seconds, and not only after many bytes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trio
import trio.testing

from penstock.durations import SECOND_NS
from penstock.uploads.attempts import CHECKPOINT_SECONDS, TICK_SECONDS, Attempts
from penstock.uploads.model import NO_FD, End, Head, Hold, Intake, Received, Upload
from penstock.uploads.pacing import PIECE_BYTES_MIN, Pacer
from penstock.uploads.store import FileStore
from penstock.uploads.syncing import SharedSync
from tests.uploads.served import UploadSite, head
from tests.uploads.stores import DATA, HEAD, NOW, Places, new_upload, refused

LONG = len(DATA)
PATIENCE = 300.0


@dataclass
class Slow:
    """An intake as an engine's: it waits for what ``bring`` says, an order that is
    stopped keeps what came, and another goes on behind it.

    Attributes:
        stops: how often one was.
    """

    head: Head = HEAD
    came: int = 0  # of DATA
    taken: int = 0
    stops: int = 0
    orders: int = 0
    ordered: bool = False
    is_stopped: bool = False
    news: trio.Event = field(default_factory=trio.Event)

    async def receive(
        self,
        fd: int,
        offset: int,
        most_bytes: int,
        direct_fd: int = NO_FD,
        hold: Hold = nullcontext,
    ) -> Received:
        del direct_fd, hold
        self.orders += 1
        self.ordered, self.is_stopped = True, False
        await trio.lowlevel.checkpoint()
        while self.came - self.taken < most_bytes and not self.is_stopped:
            self.news = trio.Event()
            await self.news.wait()
        self.ordered = False
        n_bytes = min(self.came - self.taken, most_bytes)
        os.pwrite(fd, DATA[self.taken : self.taken + n_bytes], offset)
        self.taken += n_bytes
        if self.taken == self.head.content_length:
            return Received(n_bytes, End.COMPLETE)
        return Received(n_bytes, End.MORE if n_bytes == most_bytes else End.PREEMPTED)

    def bring(self, n_bytes: int) -> None:
        self.came += n_bytes
        self.news.set()

    async def ended(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self.taken == LONG

    async def respond(
        self, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None: ...

    def stop(self) -> None:
        if self.ordered:
            self.stops += 1
            self.is_stopped = True
            self.news.set()


@dataclass
class Clocked:
    """A store, a request that brings all of an upload, and the seconds that go by."""

    store: FileStore
    upload: Upload
    body: Slow = field(default_factory=Slow)
    now: float = 1000.0

    async def write(self, intake: Intake | None = None, *, exact: bool = False) -> None:
        await self.store.write(self.upload, 0, LONG, intake or self.body, exact=exact)

    async def go(self, seconds: float) -> None:
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(int(seconds / TICK_SECONDS)):
            self.now += TICK_SECONDS
            self.store.checkpoint(self.now, PATIENCE)
            await trio.testing.wait_all_tasks_blocked()

    async def reaches(self, offset: int) -> None:
        with trio.fail_after(5):
            while self.upload.offset < offset:
                await trio.lowlevel.checkpoint()
        assert self.upload.offset == offset

    async def is_ordered(self, orders: int = 1) -> None:
        with trio.fail_after(5):
            while self.body.orders < orders:
                await trio.lowlevel.checkpoint()


@pytest.fixture
async def clocked(places: Places) -> AsyncIterator[Clocked]:
    async with places.store() as store:
        yield Clocked(store, await store.create(new_upload(length=LONG), now=NOW))


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each."""
    found, sync = [], SharedSync.sync

    async def counted(shared: SharedSync, fd: int, *of: Any) -> bool:
        found.append(fd)
        return await sync(shared, fd, *of)

    monkeypatch.setattr(SharedSync, "sync", counted)
    return found


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_what_came_slowly_is_durable_after_some_seconds_and_more_comes(
    clocked: Clocked, places: Places, *, chunked: bool
) -> None:
    clocked.body.head = replace(HEAD, chunked=chunked)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clocked.write)
        await clocked.is_ordered()
        for offset in (10, 30):
            clocked.body.bring(offset - clocked.body.came)
            await clocked.go(CHECKPOINT_SECONDS)
            await clocked.reaches(offset)
        clocked.body.bring(LONG - clocked.body.came)
    await clocked.store.finish(clocked.upload)
    assert (places.root / "file").read_bytes() == DATA


async def test_of_a_paced_upload_it_is_durable_also_while_it_waits_for_tokens(
    clocked: Clocked,
) -> None:
    now_ns = 0
    pacer = Pacer(lambda _: PIECE_BYTES_MIN // 1000, lambda: now_ns)
    clocked.body.came = LONG
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clocked.write, pacer.paced(clocked.body))
        await clocked.is_ordered()
        await clocked.go(CHECKPOINT_SECONDS)
        await clocked.reaches(PIECE_BYTES_MIN)
        assert clocked.body.stops == 0, "nothing was ordered"
        now_ns += 10_000 * SECOND_NS
        await clocked.is_ordered(2)
        await clocked.go(CHECKPOINT_SECONDS)
        await clocked.reaches(2 * PIECE_BYTES_MIN)
        nursery.cancel_scope.cancel()


async def test_nothing_is_synced_when_nothing_has_come(
    clocked: Clocked, syncs: list[int]
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clocked.write)
        await clocked.is_ordered()
        await clocked.go(CHECKPOINT_SECONDS)
        assert clocked.body.stops == 1, "what came can not be known before"
        assert syncs == []
        clocked.body.bring(10)
        await clocked.go(PATIENCE + CHECKPOINT_SECONDS)
        assert len(syncs) == 1
        nursery.cancel_scope.cancel()


async def test_who_brings_nothing_is_not_ordered_from_anew_before_it_is_given_up(
    clocked: Clocked,
) -> None:
    """An engine counts from the order on how long nothing came."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clocked.write)
        await clocked.is_ordered()
        await clocked.go(CHECKPOINT_SECONDS)
        assert clocked.body.orders == 2
        await clocked.go(PATIENCE - CHECKPOINT_SECONDS)
        assert clocked.body.orders == 2
        nursery.cancel_scope.cancel()


async def test_all_or_nothing_is_not_saved_before_its_end(
    clocked: Clocked, syncs: list[int]
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: clocked.write(exact=True))
        await clocked.is_ordered()
        clocked.body.bring(10)
        await clocked.go(10 * CHECKPOINT_SECONDS)
        assert (clocked.body.stops, syncs) == (0, [])
        nursery.cancel_scope.cancel()


async def test_who_is_stopped_at_a_checkpoint_does_not_go_on(clocked: Clocked) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refused, 409, clocked.write())
        await clocked.is_ordered()
        clocked.body.bring(10)
        while not clocked.body.stops:
            clocked.now += TICK_SECONDS
            clocked.store.checkpoint(clocked.now, PATIENCE)
        await clocked.store.settle(clocked.upload)
    assert clocked.body.orders == 1
    assert clocked.upload.offset == 10


async def test_an_upload_that_is_not_slow_is_ordered_at_once_and_synced_once(
    clocked: Clocked, syncs: list[int]
) -> None:
    clocked.body.came = LONG
    await clocked.write()
    assert (clocked.body.orders, clocked.body.stops) == (1, 0)
    assert len(syncs) == 1


async def test_those_that_began_together_are_not_synced_together() -> None:
    attempts, n = Attempts(Counter()), 100
    bodies = [Slow(ordered=True) for _ in range(n)]
    counts, before = [], 0
    async with AsyncExitStack() as stack:
        for number, body in enumerate(bodies):
            begun = attempts.begin(str(number), 0, LONG, body)
            (await stack.enter_async_context(begun)).in_pieces = True
        for second in range(int(CHECKPOINT_SECONDS)):
            attempts.tick(second, PATIENCE)
            stopped = sum(body.stops for body in bodies)
            counts.append(stopped - before)
            before = stopped
    assert sum(counts) == n, "in time"
    assert max(counts) <= n // 10


@pytest.mark.slow
def test_of_a_slow_upload_a_killed_server_has_lost_some_seconds(
    start_uploads: Callable[..., UploadSite],
) -> None:
    site = start_uploads()
    begun = site.begin("slow.bin", LONG)
    came = 0
    with site.server.client() as client:
        client.send(head("PUT", begun.target, LONG, idempotency_key=begun.key))
        ends = time.monotonic() + CHECKPOINT_SECONDS + 2 * TICK_SECONDS
        while not begun.offset():
            assert time.monotonic() < ends
            client.send(DATA[came : came + 100])
            came += 100
            time.sleep(0.2)
        site.server.extra["may_exit"] = True
        site.server.process.kill()
        site.server.process.wait()
    begun.site = after = start_uploads()
    offset = begun.offset()
    assert 0 < offset <= came
    assert begun.put(offset, DATA[offset:]).status == 200
    assert after.server.get("/slow.bin").body == DATA
