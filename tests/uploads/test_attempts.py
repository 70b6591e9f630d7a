"""Requests that bring bytes: what holds them up and stops them, how many there are."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from penstock.uploads import receiving
from penstock.uploads.attempts import Attempts
from penstock.uploads.model import AttemptState
from penstock.uploads.pacing import PIECE_BYTES_MIN, Pacer
from penstock.uploads.states import AttemptEvent, IllegalTransitionError
from penstock.uploads.store import FileStore
from penstock.uploads.syncing import SharedSync
from tests.uploads.stores import DATA, NOW, Body, Places, new_upload, refused


def now(counts: Counter[str]) -> dict[str, int]:
    return {state: n for state, n in counts.items() if n}


async def one_is_paused(counts: Counter[str]) -> None:
    with trio.fail_after(5):
        while now(counts) != {"paused": 1}:
            await trio.lowlevel.checkpoint()


def store_of(places: Places, counts: Counter[str]):  # type: ignore[no-untyped-def]
    return FileStore.opened(places.root, places.folder, places.limits, counts=counts)


async def test_one_that_waits_for_tokens_is_paused(places: Places) -> None:
    counts: Counter[str] = Counter()
    pacer = Pacer(lambda _: 1000, time.monotonic_ns)
    async with store_of(places, counts) as store:
        upload = await store.create(new_upload(length=len(DATA)), now=NOW)
        paced = pacer.paced(Body(DATA))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 503, store.write(upload, 0, len(DATA), paced))
            await one_is_paused(counts)
            store.stop()
        assert now(counts) == {"aborted": 1}
        assert upload.offset == PIECE_BYTES_MIN, "what has come is durable"


async def test_one_that_waits_for_the_disk_is_paused(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    monkeypatch.setattr(receiving, "CHECKPOINT_BYTES", 40_000)
    slow, sync = trio.Event(), SharedSync.sync

    async def wait(self: SharedSync, *of: Any) -> bool:
        await slow.wait()
        return await sync(self, *of)

    monkeypatch.setattr(SharedSync, "sync", wait)
    async with store_of(places, counts) as store:
        upload = await store.create(new_upload(length=len(DATA)), now=NOW)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write, upload, 0, len(DATA), Body(DATA))
            await one_is_paused(counts)
            slow.set()
    assert now(counts) == {"completed": 1}
    assert upload.is_whole


async def test_who_waits_for_an_older_one_is_idle() -> None:
    counts: Counter[str] = Counter()
    attempts = Attempts(counts)
    go_on = trio.Event()

    async def bring(start: int) -> None:
        async with attempts.begin("a", start, start + 10, Body(b"")):
            await go_on.wait()

    async with trio.open_nursery() as nursery:
        for start in (0, 5):
            nursery.start_soon(bring, start)
            await trio.testing.wait_all_tasks_blocked()
        assert now(counts) == {"idle": 1, "active": 1}
        go_on.set()
    assert now(counts) == {"completed": 2}


async def test_only_one_that_is_active_can_be_held() -> None:
    async with Attempts(Counter()).begin("a", 0, 10, Body(b"")) as attempt:
        with attempt.hold():
            assert attempt.state is AttemptState.PAUSED
            with pytest.raises(IllegalTransitionError):
                attempt.move(AttemptEvent.PAUSE)
        assert attempt.state is AttemptState.ACTIVE


async def test_at_the_end_of_the_server_all_stop_and_none_begins(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        body = Body(DATA[:50], stays=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 503, store.write(upload, 0, 100, body))
            await body.waits.wait()
            store.stop()
        assert upload.offset == 50
        late = Body(DATA[50:100])
        await refused(503, store.write(upload, 50, 100, late))
        assert late.received == []
