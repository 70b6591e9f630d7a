"""Requests beside the one that ends an upload: each has its answer, and nothing of the
upload stays in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from penstock.uploads import receiving
from penstock.uploads.depot import Depot
from penstock.uploads.ledger import Ledger
from penstock.uploads.model import RefusedError, SessionState, Upload
from penstock.uploads.states import SessionEvent
from penstock.uploads.targets import Targets
from tests.uploads.asking import Answered, Site, digest
from tests.uploads.begun import SIZE, TEXT, Begun, begin
from tests.uploads.stores import Places

HALF = SIZE // 2


@dataclass
class Preparing:
    """The first sync of a whole upload, held up in its thread."""

    inside: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    async def begun(self) -> None:
        assert await trio.to_thread.run_sync(self.inside.wait, 10)


@pytest.fixture
def preparing(monkeypatch: pytest.MonkeyPatch) -> Preparing:
    made, prepare = Preparing(), Targets.prepare

    def slowly(targets: Targets, *of: Any, **how: Any) -> None:
        prepare(targets, *of, **how)
        if not made.inside.is_set():
            made.inside.set()
            assert made.go.wait(10)

    monkeypatch.setattr(Targets, "prepare", slowly)
    return made


def depot_of(site: Site) -> Depot:
    found: Depot = site.store.store._depot
    return found


class Answers(dict[str, Answered]):
    """By the name of who asked."""

    async def put(self, name: str, begun: Begun, start: int, end: int) -> None:
        self[name] = await begun.put(start, end)


async def test_who_finishes_it_between_two_syncs_of_its_last_bytes_hurts_nobody(
    disk: Site, preparing: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint before what was there already makes it whole, and the request syncs
    once more."""
    monkeypatch.setattr(receiving, "CHECKPOINT_BYTES", HALF // 2)
    begun, answers = await begin(disk), Answers()
    assert (await begun.put(HALF, SIZE)).status == 200
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answers.put, "put", begun, 0, SIZE)
        await preparing.begun()
        looked = await disk.ask("HEAD", begun.url)
        preparing.go.set()
    assert (looked.status, answers["put"].status) == (200, 200)
    assert disk.store.published["a/b.bin"] == TEXT
    assert not depot_of(disk).prepared


async def test_the_last_bytes_beside_a_deletion_are_answered(
    disk: Site, preparing: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go, move = trio.Event(), trio.Event(), Ledger.move

    async def slowly(
        ledger: Ledger, upload: Upload, event: SessionEvent, **said: Any
    ) -> None:
        if event is SessionEvent.TERMINATE:
            inside.set()
            await go.wait()
        await move(ledger, upload, event, **said)

    monkeypatch.setattr(Ledger, "move", slowly)
    begun, answers, deleted = await begin(disk), Answers(), trio.Event()

    async def delete() -> None:
        answers["delete"] = await disk.ask(
            "DELETE", begun.url, idempotency_key=begun.key
        )
        deleted.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(delete)
        await inside.wait()
        nursery.start_soon(answers.put, "put", begun, 0, SIZE)
        await preparing.begun()
        go.set()
        await deleted.wait()
        preparing.go.set()
    assert (answers["delete"].status, answers["put"].status) == (204, 409)
    assert disk.upload(begun.id).state is SessionState.TERMINATED
    assert not depot_of(disk).prepared
    assert depot_of(disk).space.total_bytes == 0


async def test_the_same_bytes_again_while_they_are_being_recorded_are_the_same_answer(
    disk: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go, record = trio.Event(), trio.Event(), Ledger.record

    async def slowly(*of: Any, **said: Any) -> None:
        inside.set()
        await go.wait()
        await record(*of, **said)

    monkeypatch.setattr(Ledger, "record", slowly)
    begun, answers = await begin(disk), Answers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answers.put, "older", begun, 0, SIZE)
        await inside.wait()
        nursery.start_soon(answers.put, "newer", begun, 0, SIZE)
        await trio.testing.wait_all_tasks_blocked()
        go.set()
    assert (answers["older"].status, answers["newer"].status) == (200, 200)
    assert disk.store.published["a/b.bin"] == TEXT


async def test_other_bytes_for_what_has_its_name_already_are_422(
    disk: Site, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its part is gone, and the ledger could not be told."""
    move = Ledger.move

    async def full(
        ledger: Ledger, upload: Upload, event: SessionEvent, **said: Any
    ) -> None:
        if event is SessionEvent.COMPLETE:
            raise RefusedError(507, "full")
        await move(ledger, upload, event, **said)

    begun, other = await begin(disk), b"z" * SIZE
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "move", full)
        assert (await begun.put(0, SIZE)).status == 507
    assert disk.upload(begun.id).state is SessionState.VERIFYING
    assert not places.part(begun.id).exists()
    again = await begun.put(0, SIZE, other, content_digest=digest(other))
    assert again.status == 422
    same = await begun.put(0, SIZE, content_digest=digest(TEXT))
    assert (same.status, same["idempotency-replayed"]) == (200, "true")
    assert disk.store.published["a/b.bin"] == TEXT
