"""Parts that can not be dropped: nobody else suffers, and the next start drops them."""

from __future__ import annotations

import errno

import pytest

from penstock.uploads.model import SessionState
from penstock.uploads.parts import Parts
from tests.uploads.stores import NOW, Places, failing, new_upload

codes = pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EROFS])


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, code: int) -> str:
    """The id whose part stays."""
    drop = Parts.drop

    def drop_others(parts: Parts, upload_id: str) -> None:
        if upload_id == "a":
            failing(code)()
        drop(parts, upload_id)

    monkeypatch.setattr(Parts, "drop", drop_others)
    return "a"


@codes
async def test_of_what_expires_a_part_that_can_not_be_dropped_keeps_no_other(
    places: Places, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    async with places.store() as store:
        uploads = [
            await store.create(new_upload(name, length=100, target=name), now=NOW)
            for name in (kept, "b", "c")
        ]
        places.now = uploads[0].expires
        assert await store.expire(places.now) == len(uploads)
        assert {upload.state for upload in uploads} == {SessionState.EXPIRED}
        assert store.held("alice") == (0, 0), "space is given back"
        assert not places.part("b").exists()
        assert not places.part("c").exists()
        assert await store.expire(places.now) == 0
    assert places.part(kept).exists()
    monkeypatch.undo()
    async with places.store() as store:
        assert not places.part(kept).exists()


@codes
async def test_a_deletion_is_one_also_if_the_part_can_not_be_dropped(
    places: Places, kept: str
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(kept, length=100), now=NOW)
        await store.terminate(upload)
        assert upload.state is SessionState.TERMINATED
        assert store.held("alice") == (0, 0)


@codes
async def test_a_part_of_no_session_that_can_not_be_dropped_keeps_no_server_down(
    places: Places, kept: str
) -> None:
    async with places.store() as store:
        mine = await store.create(new_upload("c", length=10), now=NOW)
    places.part(kept).write_bytes(b"nobody's")
    places.part("b").write_bytes(b"nobody's")
    async with places.store() as store:
        assert store.find(mine.id) is not None
        assert not places.part("b").exists()
        assert store.held("alice") == (1, 10)
