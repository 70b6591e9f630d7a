"""Sessions from their beginning to their end: lengths, limits, names, expiry."""

import os
from dataclasses import replace

import trio
import trio.testing

from penstock.uploads import depot
from penstock.uploads.model import Reply, SessionState, Upload
from penstock.uploads.targets import etag_of
from tests.uploads.stores import (
    DATA,
    EXPIRE_AFTER,
    NOW,
    Body,
    Places,
    digests,
    new_upload,
    put,
    refused,
    uploaded,
)


async def test_an_upload_is_published_when_it_is_whole(places: Places) -> None:
    async with places.store() as store:
        new = new_upload(length=len(DATA), target="x/file", want=digests(DATA))
        upload = await store.create(new, now=NOW)
        assert store.find("a") is upload
        assert upload.expires == NOW + EXPIRE_AFTER
        places.now += 60
        assert await put(store, upload, 0, 40_000) is upload
        assert (upload.offset, upload.is_whole) == (40_000, False)
        assert upload.expires == NOW + 60 + EXPIRE_AFTER
        await refused(409, store.finish(upload))
        await put(store, upload, 40_000, len(DATA))
        assert upload.is_whole
        assert not (places.root / "x").exists()
        assert (await store.finish(upload)).state is SessionState.COMPLETED
        assert (places.root / "x/file").read_bytes() == DATA
        assert not places.part().exists()
        assert await store.finish(upload) is upload, "the same again"
        replay = Body(b"x" * 10)
        await store.write(upload, 0, 10, replay)
        assert replay.received == [], "it is there"
        assert store.replies("a", 0, 100_000) == [
            Reply(0, 40_000, None),
            Reply(40_000, 100_000, None),
        ]


async def test_nothing_at_all_is_a_file_too(places: Places) -> None:
    async with places.store() as store:
        upload = await uploaded(store, b"", want=digests(b""))
        await refused(400, put(store, upload, 0, 1))
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == b""


async def test_the_whole_must_be_what_was_announced(places: Places) -> None:
    async with places.store() as store:
        upload = await uploaded(store, DATA, want=digests(b"other"))
        await refused(422, store.finish(upload))
        assert upload.state is SessionState.FAILED
        assert "another sha-256 than was announced" in upload.why
        assert list(places.root.iterdir()) == []
        assert not places.part().exists()
        await refused(409, store.finish(upload))


async def test_of_two_for_one_name_the_second_can_be_finished_later(
    places: Places,
) -> None:
    async with places.store() as store:
        first = await uploaded(store, b"first", upload_id="a")
        second = await uploaded(store, b"second", upload_id="b")
        await store.finish(first)
        await refused(409, store.finish(second))
        assert second.state is SessionState.OPEN
        await refused(409, store.create(new_upload("c", length=1), now=NOW))
        assert store.find("c") is None
        (places.root / "file").rename(places.root / "other")
        await store.finish(second)
    assert (places.root / "file").read_bytes() == b"second"


async def test_a_file_is_replaced_when_it_is_the_one_that_was_meant(
    places: Places,
) -> None:
    target = places.root / "file"
    target.write_bytes(b"old")
    tag = etag_of(target.stat())
    async with places.store() as store:
        upload = await uploaded(store, b"new", replaces=tag)
        late = await uploaded(store, b"late", upload_id="b", replaces=tag)
        await store.finish(upload)
        assert target.read_bytes() == b"new"
        await refused(412, store.finish(late))
        assert not places.part("a").exists()


async def test_a_length_can_come_later_and_once(places: Places) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(), now=NOW)
        await store.write(upload, 0, 1000, Body(DATA[:50]))
        assert upload.spans == ((0, 50),)
        await refused(409, store.finish(upload))
        await refused(400, store.set_length(upload, 49))
        await store.set_length(upload, 60)
        await store.set_length(upload, 60)
        await refused(409, store.set_length(upload, 61))
        await refused(400, put(store, upload, 50, 61))
        await put(store, upload, 50, 60)
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == DATA[:60]


async def test_bytes_that_were_forgotten_behind_the_end_are_cut_off(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(), now=NOW)
        wrong = ("sha1", b"x" * 20)
        await refused(422, put(store, upload, 0, 1000, digest=wrong))
        await put(store, upload, 0, 10)
        await store.set_length(upload, 10)
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == DATA[:10]


async def test_partial_uploads_are_joined_and_stay(places: Places) -> None:
    async with places.store() as store:
        parts = [
            await uploaded(store, DATA[a:b], upload_id=name, target=None)
            for name, a, b in (
                ("p", 0, 30_000),
                ("q", 30_000, 30_000),
                ("r", 30_000, 100_000),
            )
        ]
        await refused(409, store.concatenate(new_upload("x"), parts))
        for part in parts:
            await store.finish(part)
        assert list(places.root.iterdir()) == []
        new = new_upload("x", want=digests(DATA))
        joined = await store.concatenate(new, parts)
        assert joined.state is SessionState.COMPLETED
        assert (places.root / "file").read_bytes() == DATA
        again = await store.concatenate(new_upload("y", target="2"), parts[:1] * 2)
        assert again.length == 60_000
        assert (places.root / "2").read_bytes() == DATA[:30_000] * 2
    async with places.store() as store:
        assert (await store.concatenate(new_upload("n", target="3"), parts)).length


async def test_of_a_joined_upload_that_can_not_have_its_name_nothing_stays(
    places: Places,
) -> None:
    def step(name: str) -> None:
        if name == "copied":
            (places.root / "file").write_text("theirs")

    async with places.store(step) as store:
        part = await uploaded(store, DATA, upload_id="p", target=None)
        await store.finish(part)
        await refused(409, store.concatenate(new_upload(), [part]))
        upload = store.find("a")
        assert upload is not None
        assert upload.state is SessionState.TERMINATED
        assert not places.part().exists()
        assert places.part("p").exists()
    assert (places.root / "file").read_text() == "theirs"


async def test_what_is_terminated_is_gone_and_its_file_is_not(places: Places) -> None:
    async with places.store() as store:
        upload = await uploaded(store, DATA)
        slow = await store.create(new_upload("b", length=10), now=NOW)
        body = Body(b"1", stays=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 409, store.write(slow, 0, 10, body))
            await body.waits.wait()
            await store.terminate(slow)
        await store.terminate(slow)
        assert slow.state is SessionState.TERMINATED
        assert not places.part("b").exists()
        await store.finish(upload)
        await store.terminate(upload)
        assert (places.root / "file").read_bytes() == DATA
        await refused(409, put(store, slow, 0, 1))


async def test_what_nobody_goes_on_with_expires_and_is_forgotten(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        done = await uploaded(store, b"x", upload_id="b", target="done")
        await store.finish(done)
        busy = await store.create(new_upload("c", length=10, target="c"), now=NOW)
        body = Body(b"1", stays=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 503, store.write(busy, 0, 10, body))
            await body.waits.wait()
            assert await store.expire(NOW + EXPIRE_AFTER - 1) == 0
            places.now = NOW + EXPIRE_AFTER
            assert await store.expire(places.now) == 2
            assert busy.state is SessionState.OPEN
            body.stop()
        assert upload.state is SessionState.EXPIRED
        assert done.state is SessionState.EXPIRED
        assert not places.part().exists()
        assert (places.root / "done").exists()
        assert store.find("a") is upload
        assert await store.expire(places.now + depot.REMEMBERED_SECONDS) == 1
        assert store.find("a") is None


async def test_limits_of_an_upload_a_client_and_all(places: Places) -> None:
    places.limits = replace(
        places.limits, max_upload_bytes=100, max_client_bytes=150, max_total_bytes=200
    )

    def new(name: str, length: int | None, owner: str = "alice") -> Upload:
        return new_upload(name, length=length, owner=owner, target=name)

    async with places.store() as store:
        await refused(413, store.create(new("a", 101), now=NOW))
        kept = await store.create(new("a", 100), now=NOW)
        assert (store.held("alice"), store.held("bob")) == ((1, 100), (0, 0))
        await refused(507, store.create(new("b", 51), now=NOW))
        await store.create(new("b", 100, "bob"), now=NOW)
        await refused(507, store.create(new("c", 1, "carol"), now=NOW))
        growing = await store.create(new("d", None), now=NOW)
        await refused(507, store.write(growing, 0, 100, Body(DATA[:100])))
        await refused(507, store.set_length(growing, 10))
        await store.terminate(kept)
        await refused(507, store.write(growing, 0, 1000, Body(DATA[:1000])))
        assert growing.spans == ((0, 100),), "as much as there was room for"
    async with places.store() as store:
        await refused(507, store.create(new("e", 1, "carol"), now=NOW))
        growing = store.find("d") or growing
        await store.set_length(growing, 100)
        await store.finish(growing)
        await store.create(new("e", 100, "carol"), now=NOW)


async def test_what_a_body_might_have_had_is_not_held_when_it_has_ended(
    places: Places,
) -> None:
    places.limits = replace(places.limits, max_total_bytes=100)
    async with places.store() as store:
        growing = await store.create(new_upload(), now=NOW)
        await store.write(growing, 0, 1000, Body(DATA[:10]))
        await store.create(new_upload("b", length=90, target="b"), now=NOW)


async def test_a_reserve_of_the_disk_is_kept_free(places: Places) -> None:
    async with places.store() as store:
        reserved = await store.create(new_upload(length=10), now=NOW)
        growing = await store.create(new_upload("b"), now=NOW)
    found = os.statvfs(places.folder)
    places.limits = replace(
        places.limits, reserve_free_bytes=2 * found.f_blocks * found.f_frsize
    )
    async with places.store() as store:
        await refused(507, store.create(new_upload("c", target="c"), now=NOW))
        assert not places.part("c").exists()
        growing = store.find("b") or growing
        body = Body(DATA[:10])
        await refused(507, store.write(growing, 0, 10, body))
        assert body.received == [], (
            "no client is told to send what there is no room for"
        )
        if places.part().stat().st_blocks:
            await put(store, store.find("a") or reserved, 0, 10)
