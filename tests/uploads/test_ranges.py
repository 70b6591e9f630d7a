"""Ranges of an upload in any order, and one writer for each byte."""

import hashlib
import os

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from penstock.uploads import receiving, syncing
from penstock.uploads.depot import Depot
from penstock.uploads.model import End, Reply, Upload
from tests.uploads.stores import (
    DATA,
    NOW,
    Body,
    Places,
    new_upload,
    put,
    refused,
    uploaded,
)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_ranges_in_any_order_and_overlap_give_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What was durable first stays, whatever comes later for the same bytes."""
    places = Places(tmp_path_factory.mktemp("ranges"))
    edge = st.integers(0, 40)
    ranges = data.draw(
        st.lists(st.tuples(edge, edge).map(sorted), min_size=1, max_size=8)
    )

    async def run() -> None:
        expected: dict[int, int] = {}
        async with places.store() as store:
            upload = await store.create(new_upload(length=40), now=NOW)
            for number, (start, end) in enumerate([*ranges, (0, 40)], start=1):
                body = Body(bytes([number]) * (end - start), piece=3)
                await store.write(upload, start, end, body)
                for at in range(start, end):
                    expected.setdefault(at, number)
                covered = {n for a, b in upload.spans for n in range(a, b)}
                assert covered == set(expected)
            await store.finish(upload)
        whole = bytes(expected[at] for at in range(40))
        assert (places.root / "file").read_bytes() == whole

    trio.run(run)


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (6, 5), (0, 101), (101, 102)])
async def test_a_range_that_is_none_of_the_upload_is_refused(
    places: Places, start: int, end: int
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        body = Body(DATA)
        await refused(400, store.write(upload, start, end, body))
        assert body.received == []


async def test_what_is_durable_already_is_thrown_away_and_not_written(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=41), now=NOW)
        await put(store, upload, 10, 20)
        await put(store, upload, 30, 40)
        body = Body(b"x" * 40)
        await store.write(upload, 0, 40, body)
        assert body.received == [
            ("a.part", 0, 10),
            ("null", 10, 20),
            ("a.part", 20, 30),
        ], "and what is behind the last gap need not come"
        replay = Body(b"y" * 40)
        await store.write(upload, 0, 40, replay)
        assert replay.received == []
    content = places.part().read_bytes()
    assert content == b"x" * 10 + DATA[10:20] + b"x" * 10 + DATA[30:40]


@pytest.mark.parametrize("end", [End.CUT, End.TIMEOUT])
async def test_of_a_body_that_is_cut_its_beginning_is_durable(
    places: Places, end: End
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        await store.write(upload, 0, 100, Body(DATA[:30], end=end))
        await store.write(upload, 50, 100, Body(b"", end=end))
    async with places.store() as store:
        upload = store.find("a") or new_upload()
        assert upload.spans == ((0, 30),)
        assert store.replies("a", 0, 100) == [], "what was asked for was not done"
        await store.write(upload, 30, 100, Body(DATA[30:100]))
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == DATA[:100]


async def test_with_a_digest_it_is_all_or_nothing(places: Places) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=101), now=NOW)
        right = ("sha-256", hashlib.sha256(DATA[:100]).digest())
        for body, status in (
            (Body(DATA[:99], end=End.CUT), 400),
            (Body(DATA[:99] + b"\0"), 422),
        ):
            await refused(status, store.write(upload, 0, 100, body, digest=right))
            assert upload.spans == ()
        await put(store, upload, 0, 100, digest=right)
        assert upload.offset == 100
        assert store.replies("a", 0, 100) == [Reply(0, 100, right[1])]
        await put(store, upload, 0, 100, digest=right)
        wrong = ("sha1", hashlib.sha1(b"other").digest())
        await refused(422, put(store, upload, 0, 100, digest=wrong))
        assert upload.offset == 100


async def test_a_digest_is_of_what_is_in_the_file_after_an_overlap(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=30), now=NOW)
        await put(store, upload, 10, 20)
        body = DATA[:10] + b"changed it" + DATA[20:30]
        digest = ("sha-256", hashlib.sha256(body).digest())
        await refused(422, store.write(upload, 0, 30, Body(body), digest=digest))
        assert upload.spans == ((10, 20),)
        digest = ("sha-256", hashlib.sha256(DATA[:30]).digest())
        await put(store, upload, 0, 30, digest=digest)
        assert upload.is_whole


async def test_an_exact_body_is_as_long_as_its_range_or_forgotten(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        await put(store, upload, 40, 60)
        for wrong in (Body(DATA[:99]), Body(DATA[:99], end=End.CUT), Body(DATA[:101])):
            await refused(400, store.write(upload, 0, 100, wrong, exact=True))
            assert upload.spans == ((40, 60),)
        await store.write(upload, 0, 70, Body(DATA[:71]))
        assert upload.spans == ((0, 70),), "else what is too much is only thrown away"
        right = Body(DATA[50:100])
        await store.write(upload, 50, 100, right, exact=True)
        assert upload.is_whole
        await store.finish(upload)


async def test_an_exact_body_whose_end_does_not_come_is_ended_by_a_newer_one(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        older = HeldOpen(DATA[:100])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                refused, 409, store.write(upload, 0, 100, older, exact=True)
            )
            await older.waits.wait()
            await put(store, upload, 0, 100)
        assert upload.is_whole


class HeldOpen(Body):
    """Its last chunk never comes."""

    async def ended(self) -> bool:
        self.waits.set()
        await self.stopped.wait()
        return False


async def test_durable_bytes_are_digested_again_wherever_they_are(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await uploaded(store, DATA)
        digest = hashlib.sha256(DATA[10:20]).digest()
        assert await store.digest(upload, 10, 20, "sha-256") == digest
        await store.finish(upload)
        assert await store.digest(upload, 10, 20, "sha-256") == digest
        os.truncate(places.root / "file", 15)
        assert await store.digest(upload, 10, 20, "sha-256") is None
        (places.root / "file").rename(places.root / "moved")
        assert await store.digest(upload, 10, 20, "sha-256") is None
        (places.root / "file").write_bytes(DATA)
        assert await store.digest(upload, 10, 20, "sha-256") is None, "another file"


async def test_a_newer_request_ends_an_older_one_and_goes_on_behind_it(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        older = Body(DATA[:60], stays=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 409, store.write(upload, 0, 100, older))
            await older.waits.wait()
            began = trio.current_time()
            newer = Body(b"x" * 60 + DATA[60:100])
            await store.write(upload, 0, 100, newer)
            assert trio.current_time() - began < 2
        assert older.stopped.is_set()
        assert newer.received == [("null", 0, 60), ("a.part", 60, 100)]
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == DATA[:100]


async def test_of_many_that_want_the_same_bytes_the_last_one_stays(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        bodies = [Body(bytes([n]) * 10, stays=True) for n in range(5)]
        async with trio.open_nursery() as nursery:
            for body in bodies:
                nursery.start_soon(refused, 409, store.write(upload, 0, 100, body))
                await trio.testing.wait_all_tasks_blocked()
            await store.write(upload, 0, 100, Body(b"z" * 100))
        content = places.part().read_bytes()
        assert upload.is_whole
        assert content[:10] in {bytes([n]) * 10 for n in range(5)} | {b"z" * 10}
        assert content[10:] == b"z" * 90


async def test_one_that_is_stopped_before_its_first_byte_receives_none(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = trio.Event()

    async def open_late(
        depot: Depot, upload: Upload, *, direct: bool
    ) -> tuple[int, int]:
        await opened.wait()
        return depot.parts.open_both(upload.id, upload.inode, 0, direct)

    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        monkeypatch.setattr(Depot, "open_both", open_late)
        bodies = [Body(DATA[:100]) for _ in range(2)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 409, store.write(upload, 0, 100, bodies[0]))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(store.write, upload, 0, 100, bodies[1])
            await trio.testing.wait_all_tasks_blocked()
            opened.set()
        assert [bool(body.received) for body in bodies] == [False, True]
        assert upload.is_whole


async def test_ranges_that_do_not_overlap_come_side_by_side(places: Places) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        first = Body(DATA[:10], stays=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 409, store.write(upload, 0, 50, first))
            await first.waits.wait()
            await put(store, upload, 50, 100)
            assert not first.stopped.is_set()
            assert await store.settle(upload) is upload
        assert upload.spans == ((0, 10), (50, 100)), "known, as soon as it is settled"


async def test_an_older_one_that_does_not_end_lets_the_newer_wait_two_seconds(
    places: Places, autojump_clock: trio.testing.MockClock
) -> None:
    class Stubborn(Body):
        def stop(self) -> None:
            pass

    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        older = Stubborn(b"1", stays=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 409, store.write(upload, 0, 100, older))
            await older.waits.wait()
            began = trio.current_time()
            await refused(409, put(store, upload, 0, 100))
            assert trio.current_time() - began == pytest.approx(2)
            older.stopped.set()


async def test_one_fdatasync_serves_all_who_wrote_before_it_began() -> None:
    calls: list[trio.Event] = []

    async def in_thread(call: object, fd: int) -> None:
        calls.append(trio.Event())
        await calls[-1].wait()

    shared = syncing.SharedSync(in_thread)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.sync, 1)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):  # these may have written after the first one began
            nursery.start_soon(shared.sync, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert len(calls) == 1
        calls[0].set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(calls) == 2
        calls[1].set()
    assert len(calls) == 2


async def test_a_long_body_is_durable_bit_by_bit_while_it_comes(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "CHECKPOINT_BYTES", 1000)
    async with places.store() as store:
        upload = await store.create(new_upload(length=len(DATA)), now=NOW)
        body = Body(DATA[:5500], stays=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 409, store.write(upload, 0, len(DATA), body))
            await body.waits.wait()
            with trio.fail_after(10):
                while upload.offset < 5000:
                    await trio.lowlevel.checkpoint()
            assert upload.spans == ((0, 5000),)
            await store.settle(upload)
        assert upload.spans == ((0, 5500),)
