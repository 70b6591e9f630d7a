"""The length of an upload, said while requests bring bytes of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import pytest
import trio

from penstock.uploads import files
from penstock.uploads.ledger import Ledger
from penstock.uploads.model import NO_FD, End, Hold, Received, SessionState, Upload
from penstock.uploads.store import FileStore
from tests.uploads.asking import Site, request
from tests.uploads.fakes import FakeIntake
from tests.uploads.served import OFFSET_STREAM, TUS, UploadSite, head
from tests.uploads.stores import (
    DATA,
    NOW,
    Body,
    Places,
    failing,
    new_upload,
    put,
    refused,
)
from tests.uploads.tusasking import TYPE, Tus, named, url_id

DEFERRED = {"upload_defer_length": "1", "upload_metadata": named("file")}


async def reopened(places: Places) -> Upload:
    """As the next start finds it."""
    async with places.store() as store:
        upload = store.find("a")
        assert upload is not None
        return upload


@pytest.mark.parametrize("came", [50, 500])
async def test_nothing_is_durable_behind_a_length_said_while_more_was_on_its_way(
    places: Places, came: int
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(), now=NOW)
        older = Body(DATA[:came], stays=True)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(refused, 409, store.write(upload, 0, 1000, older))
                await older.waits.wait()
                said = store.set_length(upload, 100)
                await (said if came <= 100 else refused(400, said))
        assert upload.length == (100 if came <= 100 else None)
        assert upload.spans == ((0, came),), "what came before stays"
    assert (await reopened(places)).spans == ((0, came),)


@dataclass
class HeldUp:
    """Saying a length, up to the ledger."""

    inside: trio.Event = field(default_factory=trio.Event)
    go: trio.Event = field(default_factory=trio.Event)


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> HeldUp:
    made, set_length = HeldUp(), Ledger.set_length

    async def slowly(ledger: Ledger, upload: Upload, length: int) -> None:
        made.inside.set()
        await made.go.wait()
        await set_length(ledger, upload, length)

    monkeypatch.setattr(Ledger, "set_length", slowly)
    return made


async def test_who_began_while_a_length_was_being_said_brings_nothing_behind_it(
    places: Places, held_up: HeldUp
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(), now=NOW)
        body = Body(b"x" * 500, stays=True)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.set_length, upload, 100)
                await held_up.inside.wait()
                nursery.start_soon(refused, 409, store.write(upload, 0, 1000, body))
                await body.waits.wait()
                held_up.go.set()
        assert (upload.length, upload.spans) == (100, ())
        await put(store, upload, 0, 100)
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == DATA[:100]
    assert (await reopened(places)).state is SessionState.COMPLETED


async def test_what_became_durable_while_a_length_was_being_said_bounds_it(
    places: Places, held_up: HeldUp
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(), now=NOW)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, 409, store.set_length(upload, 100))
            await held_up.inside.wait()
            await put(store, upload, 0, 500)
            held_up.go.set()
        assert (upload.length, upload.spans) == (None, ((0, 500),))
        assert store.held("alice") == (1, 500)
    assert (await reopened(places)).length is None


async def test_of_two_lengths_at_once_one_is_taken(disk: Site) -> None:
    tus = Tus(disk)
    url = (await tus.post(**DEFERRED)).fields["location"]
    found: dict[int, int] = {}

    async def say(length: int) -> None:
        answer = await tus.patch(url, 0, upload_length=str(length))
        found[answer.status] = length

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, 300)
        nursery.start_soon(say, 200)
    assert found.keys() == {204, 409}
    assert disk.upload(url_id(url)).length == found[204]


class Late(FakeIntake):
    """Brings nothing until it is told to, or stopped."""

    async def receive(
        self,
        fd: int,
        offset: int,
        most_bytes: int,
        direct_fd: int = NO_FD,
        hold: Hold = nullcontext,
    ) -> Received:
        del most_bytes, direct_fd, hold
        self.hangs.set()
        await self.stopped.wait()
        if self.then is End.PREEMPTED:
            return Received(0, End.PREEMPTED)
        os.pwrite(fd, self.body, offset)
        return Received(len(self.body), End.CUT)

    def stop(self) -> None:
        self.then = End.PREEMPTED
        super().stop()


async def test_a_length_that_makes_it_whole_ends_who_would_still_make_it_longer(
    disk: Site, places: Places
) -> None:
    tus = Tus(disk)
    url = (await tus.post(**DEFERRED)).fields["location"]
    assert (await tus.patch(url, 0, DATA[:100])).status == 204
    said = {"content_type": TYPE, "tus_resumable": "1.0.0", "upload_offset": "100"}
    older = Late(request("PATCH", url, announced=1000, **said).head, b"x" * 50)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.sent, older)
        await older.hangs.wait()
        assert (await tus.patch(url, 100, upload_length="100")).status == 204
        older.stopped.set()
    assert older.answers[0][0] == 409
    assert (places.root / "file").read_bytes() == DATA[:100]
    assert disk.upload(url_id(url)).state is SessionState.COMPLETED


async def growing(places: Places, store: FileStore) -> Upload:
    upload = store.find("a") or await store.create(new_upload(), now=NOW)
    if not upload.spans:
        await put(store, upload, 0, 10)
    assert store.held("alice") == (1, 10)
    return upload


async def test_a_length_leaves_the_reserve_of_the_disk_free(places: Places) -> None:
    async with places.store() as store:
        await growing(places, store)
    disk = os.statvfs(places.folder)
    whole = 2 * disk.f_blocks * disk.f_frsize
    places.limits = replace(places.limits, reserve_free_bytes=whole)
    async with places.store() as store:
        upload = await growing(places, store)
        await refused(507, store.set_length(upload, 1 << 20))
        assert upload.length is None
        assert store.held("alice") == (1, 10)


@pytest.mark.parametrize(
    ("code", "status"), [(errno.ENOSPC, 507), (errno.EFBIG, 507), (errno.EIO, 500)]
)
async def test_a_length_that_the_disk_has_no_room_for_holds_nothing(
    places: Places, monkeypatch: pytest.MonkeyPatch, code: int, status: int
) -> None:
    async with places.store() as store:
        upload = await growing(places, store)
        with monkeypatch.context() as patch:
            patch.setattr(files, "allocate", failing(code))
            await refused(status, store.set_length(upload, 1000))
        assert (upload.length, store.held("alice")) == (None, (1, 10))
        await store.set_length(upload, 1000)
        assert store.held("alice") == (1, 1000)


def patch_head(url: str, start: int, length: int, **said: str) -> bytes:
    fields = {"upload_offset": str(start), "content_type": OFFSET_STREAM, **TUS, **said}
    return head("PATCH", url, length, **fields)


@pytest.mark.parametrize("came", [0, 500])
def test_a_server_starts_again_after_a_length_was_said_while_more_came(
    start_uploads: Callable[..., UploadSite], came: int
) -> None:
    site = start_uploads()
    url = site.tus("POST", "/files", **DEFERRED)["location"]
    with site.server.client() as client:
        client.send(patch_head(url, 0, 1000) + DATA[:came])
        site.server.wait("it comes", lambda: site.server.total("intakes") == 1)
        newer = site.tus(
            "PATCH",
            url,
            upload_offset="0",
            upload_length="100",
            content_type=OFFSET_STREAM,
        )
        assert newer.status == (400 if came else 204)
        assert client.read("PATCH").status == 409
    site.server.extra["may_exit"] = True
    assert site.server.stop() == 0
    after = start_uploads()
    assert int(after.tus("HEAD", url)["upload-offset"]) == came
    rest = {} if came == 0 else {"upload_length": "1000"}
    body = DATA[came : 1000 if came else 100]
    done = after.tus("PATCH", url, body, upload_offset=str(came), **rest)
    assert done.status == 204
    assert (after.root / "file").read_bytes() == DATA[: 1000 if came else 100]
