"""Errors around the moment at which an upload gets its name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.uploads import targets as module
from penstock.uploads.ledger import Ledger
from penstock.uploads.model import RefusedError, SessionState, Upload
from penstock.uploads.parts import Parts
from penstock.uploads.states import SessionEvent
from penstock.uploads.store import FileStore
from penstock.uploads.targets import Targets
from penstock.uploads.writer import Writer
from tests.uploads.stores import (
    DATA,
    NOW,
    Places,
    digests,
    failing,
    new_upload,
    refused,
    uploaded,
)

both_ways = pytest.mark.parametrize("replaces", [None, "*"], ids=["link", "rename"])


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


@pytest.mark.parametrize("there", [False, True])
async def test_one_that_nobody_asks_for_again_does_not_stay_for_ever(
    places: Places, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    publish = Targets.publish

    def published(*of: object) -> None:
        if there:
            os.close(publish(*of))  # type: ignore[arg-type]
        monkeypatch.setattr(Targets, "has", failing(errno.EIO))
        failing(errno.EIO)()

    async with places.store() as store:
        upload = await uploaded(store, DATA)
        monkeypatch.setattr(Targets, "publish", published)
        await refused(500, store.finish(upload))
        places.now = upload.expires
        assert await store.expire(places.now) == 0
        assert upload.state is SessionState.VERIFYING
        monkeypatch.undo()
        assert await store.expire(places.now) == 0
        wanted = SessionState.COMPLETED if there else SessionState.OPEN
        assert upload.state is wanted
        assert places.part().exists() is not there


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


async def test_one_whose_sync_failed_is_not_published_later_though_the_ledger_was_full(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says so once, and has dropped the pages: the next sync succeeds."""
    move = Ledger.move

    async def full(ledger: Ledger, *of: Any, **said: Any) -> None:
        if SessionEvent.FAIL in of:
            raise RefusedError(507, "full")
        await move(ledger, *of, **said)

    async with places.store() as store:
        await uploaded(store, DATA)
    async with places.store() as store:
        upload = store.find("a")
        assert upload is not None
        assert upload.state is SessionState.OPEN, "nobody finished it"
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "move", full)
            patch.setattr(Targets, "prepare", lambda *_, **__: failing(errno.EIO)())
            await refused(507, store.finish(upload))
        await refused(500, store.finish(upload))
        await refused(500, store.finish(upload))
    assert not (places.root / "file").exists()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
async def test_a_target_that_can_not_be_looked_at_is_not_known_to_be_another(
    places: Places, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    async with places.store() as store:
        targets = store._depot.targets
        assert not targets.has("file", 1)
        monkeypatch.setattr(os, "stat", lambda *_, **__: failing(code)())
        with pytest.raises(OSError, match=os.strerror(code)):
            targets.has("file", 1)
        monkeypatch.undo()


async def test_a_file_that_can_not_be_synced_is_not_published(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with places.store() as store:
        await uploaded(store, DATA)
    async with places.store() as store:  # which knows nothing of what was synced
        upload = store.find("a")
        assert upload is not None
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            await refused(500, store.finish(upload))
        assert upload.state is SessionState.FAILED
    assert list(places.root.iterdir()) == []


async def test_a_ledger_that_failed_at_the_end_is_told_later(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is there; to finish again takes it for nobody else's."""
    async with places.store() as store:
        upload = await uploaded(store, DATA, want=digests(DATA))
        do = Writer.do

        async def full(self: Writer, *of: object) -> None:
            if (places.root / "file").exists():
                raise RefusedError(507, "full")
            await do(self, *of)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Writer, "do", full)
            await refused(507, store.finish(upload))
        assert upload.state is SessionState.VERIFYING
        await store.finish(upload)
        assert upload.state is SessionState.COMPLETED
        assert not places.part().exists()


# --- another file in the place of a part ---------------------------------------------


@both_ways
@pytest.mark.parametrize("kind", ["file", "symbolic link"])
@pytest.mark.parametrize("when", ["before", "right before"])
async def test_another_file_that_has_the_name_of_a_part_fails_its_upload(
    places: Places,
    replaces: str | None,
    kind: str,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is compared before it gets its name, and again afterwards."""
    if when == "right before":
        monkeypatch.setattr(Parts, "check", lambda *_: None)
    other = places.home / "other"
    other.write_text("theirs")

    def step(name: str) -> None:
        if name == "file synced":
            places.part().rename(places.home / "away")
            if kind == "file":
                other.rename(places.part())
            else:
                places.part().symlink_to(other)

    async with places.store(step) as store:
        upload = await whole(places, store, replaces)
        await refused(500, store.finish(upload))
        assert upload.state is SessionState.FAILED
        assert "another file" in upload.why
    if replaces is None:
        assert list(places.root.iterdir()) == []


async def test_a_part_that_is_shortened_before_it_is_published_fails_its_upload(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await uploaded(store, DATA)
        os.truncate(places.part(), 10)
        await refused(500, store.finish(upload))
        assert upload.state is SessionState.FAILED
        assert "has 10 bytes" in upload.why
    assert list(places.root.iterdir()) == []


# --- a folder of the root on another file system -------------------------------------


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As if there was a mount."""
    file_system = module._file_system

    def mounted(fd: int) -> tuple[int, str]:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        return (0, "") if path.is_relative_to(folder) else file_system(fd)

    monkeypatch.setattr(module, "_file_system", mounted)


async def test_no_upload_begins_that_would_go_to_another_file_system(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.root / "a/mount").mkdir(parents=True)
    elsewhere(monkeypatch, places.root / "a/mount")
    async with places.store() as store:
        for target in ("a/mount/file", "a/mount/new/folder/file"):
            with pytest.raises(RefusedError, match="'a/mount' is on another") as told:
                await store.create(new_upload(target=target, length=1), now=NOW)
            assert told.value.status == 409
        await store.create(new_upload(target="a/file", length=1), now=NOW)


@both_ways
async def test_what_is_mounted_meanwhile_is_told(
    places: Places, monkeypatch: pytest.MonkeyPatch, replaces: str | None
) -> None:
    folder = places.root / "late"
    folder.mkdir()
    (folder / "file").write_text("old")
    async with places.store() as store:
        upload = await uploaded(store, DATA, target="late/file", replaces="*")
        upload.replaces = replaces
        with monkeypatch.context() as patch:
            elsewhere(patch, folder)
            with pytest.raises(RefusedError, match="'late' is on another") as told:
                await store.finish(upload)
        assert told.value.status == 409
        if replaces is None:
            (folder / "file").unlink()
        for name in ("link", "rename"):
            monkeypatch.setattr(os, name, lambda *_, **__: failing(errno.EXDEV)())
        with pytest.raises(RefusedError, match="'late' is on another") as told:
            await store.finish(upload)
        assert told.value.status == 409
        monkeypatch.undo()
        await store.finish(upload)
        assert upload.state is SessionState.COMPLETED


async def test_a_file_of_another_file_system_is_not_the_one_with_its_number(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.root / "mount").mkdir()
    file = places.root / "mount/file"
    file.write_text("")
    async with places.store() as store:
        inode = file.stat().st_ino
        assert store._depot.targets.has("mount/file", inode)
        elsewhere(monkeypatch, file.parent)
        assert not store._depot.targets.has("mount/file", inode)
