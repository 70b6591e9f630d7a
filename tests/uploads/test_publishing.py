"""Errors around the moment at which an upload gets its name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from penstock.uploads.model import SessionState, Upload
from penstock.uploads.store import FileStore
from penstock.uploads.targets import Targets
from tests.uploads.stores import DATA, Places, digests, refused, uploaded

both_ways = pytest.mark.parametrize("replaces", [None, "*"], ids=["link", "rename"])


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


async def whole(places: Places, store: FileStore, replaces: str | None) -> Upload:
    if replaces is not None:
        (places.root / "file").write_text("old")
    return await uploaded(store, DATA, replaces=replaces, want=digests(DATA))


def check_finished(places: Places, upload: Upload) -> None:
    assert upload.state is SessionState.COMPLETED
    assert (places.root / "file").read_bytes() == DATA
    assert not places.part().exists()


@both_ways
async def test_once_the_name_is_there_no_descriptor_is_needed(
    places: Places, monkeypatch: pytest.MonkeyPatch, replaces: str | None
) -> None:
    async with places.store() as store:
        upload = await whole(places, store, replaces)

        def name(
            call: Callable[..., None], *of: object, **more: object
        ) -> Callable[..., None]:
            call(*of, **more)
            monkeypatch.setattr(os, "dup", failing(errno.EMFILE))
            monkeypatch.setattr(os, "open", failing(errno.EMFILE))
            return call

        link, rename = os.link, os.rename
        monkeypatch.setattr(os, "link", lambda *a, **b: name(link, *a, **b))
        monkeypatch.setattr(os, "rename", lambda *a, **b: name(rename, *a, **b))
        await store.finish(upload)
        monkeypatch.undo()
        check_finished(places, upload)


@both_ways
async def test_an_error_after_the_name_is_there_hides_no_file(
    places: Places, monkeypatch: pytest.MonkeyPatch, replaces: str | None
) -> None:
    publish = Targets.publish

    def published(*of: object) -> None:
        os.close(publish(*of))  # type: ignore[arg-type]
        failing(errno.EIO)()

    async with places.store() as store:
        upload = await whole(places, store, replaces)
        with monkeypatch.context() as patch:
            patch.setattr(Targets, "publish", published)
            await refused(500, store.finish(upload))
        await store.examine(upload)
        await store.finish(upload)
        check_finished(places, upload)


@both_ways
async def test_what_can_not_be_known_is_asked_again(
    places: Places, monkeypatch: pytest.MonkeyPatch, replaces: str | None
) -> None:
    """By whoever finishes it, and after a restart."""

    def published(*of: object) -> None:
        os.close(publish(*of))  # type: ignore[arg-type]
        monkeypatch.setattr(Targets, "has", failing(errno.EACCES))
        failing(errno.EIO)()

    publish = Targets.publish
    async with places.store() as store:
        upload = await whole(places, store, replaces)
        monkeypatch.setattr(Targets, "publish", published)
        await refused(500, store.finish(upload))
        assert upload.state is SessionState.VERIFYING
        await refused(403, store.finish(upload))
        assert upload.state is SessionState.VERIFYING
    async with places.store() as store:
        found = store.find("a")
        assert found is not None
        assert found.state is SessionState.VERIFYING
        monkeypatch.undo()
        await store.finish(found)
        check_finished(places, found)


async def test_one_that_is_open_and_has_its_name_is_complete(places: Places) -> None:
    async with places.store() as store:
        upload = await uploaded(store, DATA)
        os.link(places.part(), places.root / "file")
        await store.finish(upload)
        check_finished(places, upload)


async def test_one_that_could_not_have_its_name_is_open_again(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with places.store() as store:
        upload = await uploaded(store, DATA)
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", lambda *_, **__: failing(errno.ENOSPC)())
            await refused(507, store.finish(upload))
        assert upload.state is SessionState.OPEN
        await store.finish(upload)
        check_finished(places, upload)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
async def test_a_target_that_can_not_be_looked_at_is_not_known_to_be_another(
    places: Places, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    async with places.store() as store:
        targets = store._depot.targets
        assert not targets.has("no/file", 1)
        monkeypatch.setattr(os, "stat", lambda *_, **__: failing(code)())
        with pytest.raises(OSError, match=os.strerror(code)):
            targets.has("file", 1)
        monkeypatch.undo()
