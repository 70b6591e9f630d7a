"""Disks that are full or broken, and files that change behind the server's back."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.errors import PenstockError
from penstock.uploads import spans
from penstock.uploads.model import (
    End,
    Received,
    RefusedError,
    SessionState,
)
from penstock.uploads.store import FileStore
from penstock.uploads.writer import Writer
from tests.uploads import victim
from tests.uploads.stores import (
    DATA,
    LIMITS,
    NOW,
    Body,
    Places,
    new_upload,
    refused,
    uploaded,
)

MIB = 1 << 20


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_limit_of_file_sizes_is_no_space(places: Places) -> None:
    data = DATA * 20
    async with places.store() as store:
        upload = await store.create(new_upload(length=len(data)), now=NOW)
        with file_size_limit(MIB):
            body = Body(data, piece=64 << 10)
            await refused(507, store.write(upload, 0, len(data), body))
        assert upload.spans == ((0, MIB),), "what is in the file is durable"
        await store.write(upload, MIB, len(data), Body(data[MIB:]))
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == data


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_what_came_before_the_disk_was_full_is_durable(
    places: Places, code: int
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        body = Body(DATA[:30], end=End.ERROR, errno=code)
        await refused(507, store.write(upload, 0, 100, body))
        assert upload.spans == ((0, 30),)
        assert upload.state is SessionState.OPEN


async def test_a_disk_that_can_not_write_ends_the_upload(places: Places) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        body = Body(DATA[:30], end=End.ERROR, errno=errno.EIO)
        await refused(500, store.write(upload, 0, 100, body))
        assert upload.state is SessionState.FAILED
        assert not places.part().exists()


async def test_a_sync_that_failed_is_final(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel reports it once, and has dropped the pages: the next one succeeds."""
    errors = [OSError(errno.EIO, "Input/output error")]

    def fdatasync(fd: int) -> None:
        if errors:
            raise errors.pop()

    async with places.store() as store:
        upload = await store.create(new_upload(length=101), now=NOW)
        await store.write(upload, 0, 10, Body(DATA[:10]))
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        await refused(500, store.write(upload, 10, 100, Body(DATA[10:100])))
        assert upload.spans == ((0, 10),)
        assert upload.state is SessionState.FAILED
        await refused(409, store.write(upload, 10, 100, Body(DATA[10:100])))
    async with places.store() as store:
        found = store.find("a")
        assert found is not None
        assert "can not be synced" in found.why


async def test_a_sync_that_failed_is_final_also_when_the_ledger_fails(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def full(*_: object) -> None:
        raise RefusedError(507, "full")

    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            patch.setattr(Writer, "do", full)
            await refused(507, store.write(upload, 0, 100, Body(DATA[:100])))
        assert upload.state is SessionState.OPEN
        body = Body(DATA[:100])
        await refused(500, store.write(upload, 0, 100, body))
        assert body.received == []
        await refused(409, store.finish(upload))


async def test_of_an_upload_that_the_ledger_can_not_take_nothing_stays(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise RefusedError(507, "full")

    places.limits = replace(LIMITS, max_total_bytes=100)
    async with places.store() as store:
        new = new_upload(length=100)
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "do", full)
            await refused(507, store.create(new, now=NOW))
        assert not places.part().exists()
        await store.create(new, now=NOW)


async def test_what_can_not_expire_now_expires_later(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise RefusedError(507, "full")

    async with places.store() as store:
        upload = await store.create(new_upload(), now=NOW)
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "do", full)
            assert await store.expire(upload.expires) == 0
        assert await store.expire(upload.expires) == 1


async def test_a_part_that_is_shortened_while_bytes_come_ends_its_upload(
    places: Places,
) -> None:
    class Shortening(Body):
        async def receive(self, fd: int, *of: object) -> Received:
            received = await super().receive(fd, *of)  # type: ignore[arg-type]
            os.ftruncate(fd, 40)
            return received

    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        await refused(500, store.write(upload, 0, 50, Shortening(DATA[:50])))
        assert upload.state is SessionState.FAILED
        assert upload.offset == 0


async def test_who_asks_for_the_offset_finds_out_that_bytes_are_gone(
    places: Places,
) -> None:
    async with places.store() as store:
        upload = await store.create(new_upload(length=100), now=NOW)
        await store.write(upload, 0, 50, Body(DATA[:50]))
        await store.examine(upload)
        assert upload.state is SessionState.OPEN
        os.truncate(places.part(), 40)
        await store.examine(upload)
        assert upload.state is SessionState.FAILED


async def test_a_part_that_was_shortened_ends_its_upload_at_once(
    places: Places,
) -> None:
    async with places.store() as store:
        for name, meets_it in (
            ("a", lambda u: store.write(u, 50, 100, Body(DATA[50:100]))),
            ("b", store.finish),
        ):
            upload = await uploaded(store, DATA[:100], upload_id=name, target=name)
            if name == "a":
                upload = await store.create(
                    new_upload("c", length=100, target="c"), now=NOW
                )
                await store.write(upload, 0, 50, Body(DATA[:50]))
            os.truncate(places.part(upload.id), 40)
            await refused(500, meets_it(upload))
            assert upload.state is SessionState.FAILED
            assert "has 40 bytes, and should have" in upload.why
    assert list(places.root.iterdir()) == []


async def test_a_part_that_was_shortened_or_lost_ends_its_upload_at_start(
    places: Places,
) -> None:
    async with places.store() as store:
        for name in ("short", "gone", "other", "fine"):
            await uploaded(store, DATA, upload_id=name, target=name)
        partial = await uploaded(store, DATA, upload_id="partial", target=None)
        await store.finish(partial)
    os.truncate(places.part("short"), len(DATA) - 1)
    places.part("gone").unlink()
    places.part("partial").unlink()
    shutil.copy(places.part("other"), places.part("copy"))
    places.part("copy").rename(places.part("other"))
    async with places.store() as store:
        for name, why in (
            ("short", "has 99999 bytes, and should have 100000"),
            ("gone", "is gone"),
            ("partial", "is gone"),
            ("other", "is another file"),
        ):
            upload = store.find(name)
            assert upload is not None
            assert upload.state is SessionState.FAILED
            assert why in upload.why
            await refused(409, store.write(upload, 0, 1, Body(b"x")))
        fine = store.find("fine")
        assert fine is not None
        await store.finish(fine)
    assert {path.name for path in places.root.iterdir()} == {"fine"}


async def test_a_damaged_ledger_refuses_the_start_and_leaves_the_parts(
    places: Places,
) -> None:
    async with places.store() as store:
        await uploaded(store, DATA)
    file = places.folder / "ledger.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(
        PenstockError, match="restore it from a backup, or move it away"
    ):
        async with places.store():
            pass
    assert places.part().read_bytes() == DATA
    file.write_bytes(whole)
    async with places.store() as store:
        upload = store.find("a")
        assert upload is not None
        await store.finish(upload)


async def test_without_its_ledger_everything_begins_anew(places: Places) -> None:
    async with places.store() as store:
        await uploaded(store, DATA)
    for file in places.folder.glob("ledger.sqlite*"):
        file.unlink()
    async with places.store() as store:
        assert store.find("a") is None
        assert not places.part().exists()
        await uploaded(store, DATA)


async def test_a_ledger_whose_disk_can_not_sync_takes_no_more(tmp_path: Path) -> None:
    """As of a part: a restart finds out what is on the disk."""
    failing = sqlite3.OperationalError("disk I/O error")
    failing.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    connection = sqlite3.connect(
        tmp_path / "file", check_same_thread=False, isolation_level=None
    )

    def fail(_: sqlite3.Connection) -> None:
        raise failing

    writer = Writer(connection)
    done: list[int] = []
    try:
        await writer.do(lambda _: None, lambda: done.append(1))
        for change in (fail, lambda _: None):
            with pytest.raises(RefusedError) as caught:
                await writer.do(change, lambda: done.append(2))
            assert caught.value.status == 500
    finally:
        writer.close()
        connection.close()
    assert done == [1]


# --- a disk that is full: in a namespace with a small one ----------------------------


async def fill_up(home: Path, reserve: int) -> None:
    """A disk of 4 MiB."""
    places = Places(home, replace(LIMITS, reserve_free_bytes=reserve))
    data = (DATA * 100)[: 6 * MIB]
    ballast = home / "ballast"
    ballast.write_bytes(bytes(MIB))
    async with places.store() as store:
        await refused(507, store.create(new_upload("x", length=16 * MIB), now=NOW))
        assert store.find("x") is None
        assert not places.part("x").exists()
        small = await uploaded(store, DATA, upload_id="s", target="small")
        upload = await store.create(new_upload(), now=NOW)
        await refused(507, store.write(upload, 0, len(data), Body(data, piece=4096)))
        check(places, store, data)
        assert upload.offset or not reserve, "with a reserve the ledger has room"
        await refused(507, store.create(new_upload("y", target="y"), now=NOW))
    ballast.unlink()
    async with places.store() as store:
        check(places, store, data)
        small, upload = store.find("s") or small, store.find("a") or upload
        await store.finish(small)
        assert (places.root / "small").read_bytes() == DATA
        data = data[: max(upload.offset, MIB) + 10]
        await store.write(upload, 0, len(data), Body(data))
        await store.set_length(upload, len(data))
        await store.finish(upload)
    assert (places.root / "file").read_bytes() == data


def check(places: Places, store: FileStore, data: bytes) -> None:
    upload = store.find("a")
    assert upload is not None
    assert upload.state is SessionState.OPEN
    end = spans.reach(upload.spans)
    assert upload.spans in ((), ((0, end),))
    assert places.part().read_bytes()[:end] == data[:end]


def in_namespace(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Python, with a file system of 4 MiB in ``folder``."""
    mount = f"mount -t tmpfs -o size=4m none '{folder}'"
    command = f"{mount} && exec {sys.executable} -c '{script}'"
    return subprocess.run(
        ["unshare", "-Urm", "sh", "-c", command],
        env=victim.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("reserve", [0, MIB // 2])
def test_a_full_disk_loses_nothing_that_was_acknowledged(
    tmp_path: Path, reserve: int
) -> None:
    if in_namespace(tmp_path, "").returncode:
        pytest.skip("namespaces with a file system of their own are not permitted")
    done = in_namespace(
        tmp_path,
        "import pathlib, trio; from tests.uploads.test_faults import fill_up; "
        f'trio.run(fill_up, pathlib.Path("{tmp_path}"), {reserve})',
    )
    assert done.returncode == 0, done.stderr
