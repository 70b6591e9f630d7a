"""No space is left: for bytes, for the ledger, or by a limit. It is said, what was
acknowledged stays, everything else goes on, and so does the upload when there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Client, Place, Response
from tests.uploads.process.disks import Disk, small_disk
from tests.uploads.process.uploading import Remote, answer, ask, uploading
from tests.uploads.served import TUS

MIB = 1 << 20
DATA = noise(MIB)
BIG = noise(6 * MIB)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path, "8m") as found:
        yield found


def problem(said: Response) -> tuple[int, str]:
    assert said["content-type"] == "application/problem+json"
    body = json.loads(said.body)
    assert body["status"] == said.status
    return said.status, body["detail"]


class Deferred(Remote):
    """Its length is not known yet, so that no space is reserved for it."""

    def start(self, client: Client) -> None:
        fields: dict[str, object] = {**TUS, "Upload_Defer_Length": 1}
        said = ask(client, "POST", "/files", **fields)
        assert said.status == 201, said
        self.location, self.tus = said["location"], True


def check_kept(disk: Disk, upload: Remote, client: Client) -> int:
    """What is claimed is there, and not less than what was acknowledged."""
    [(start, end)] = upload.claimed(client)
    assert start == 0
    assert end >= upload.acknowledged[0][1]
    assert disk.part(upload.id)[:end] == upload.data[:end]
    return end


def test_an_upload_for_which_there_is_no_space_is_not_begun(disk: Disk) -> None:
    with disk.uploading() as server, server.client() as client:
        said = Remote("file", bytes(9 * MIB)).begin(client)
        assert problem(said) == (507, "no space is left")
        assert list((disk.outer / "uploads").glob("*.part")) == []


@pytest.mark.parametrize("write_path", ["splice", "copy"])
def test_a_disk_that_fills_up_within_a_body(disk: Disk, write_path: str) -> None:
    settings = f'write_path = "{write_path}"'
    with disk.uploading(settings=settings) as server, server.client() as client:
        (disk.outer / "root" / "hello").write_bytes(b"hello")
        upload = Deferred("", BIG)
        upload.start(client)
        upload.send(client, 0, MIB)
        client.send(upload.head(MIB, len(BIG)) + BIG[MIB : 2 * MIB])
        part = disk.outer / "uploads" / f"{upload.id}.part"
        server.wait("half of it", lambda: part.stat().st_size > 1.2 * MIB)
        ballast = disk.fill()
        with suppress(ConnectionError):  # the answer is there nevertheless
            client.send(BIG[2 * MIB :])
        assert problem(answer(client, "PATCH"))[0] == 507
        with server.client() as another:
            assert check_kept(disk, upload, another) >= MIB
            assert another.get("/hello").body == b"hello"
            ballast.unlink()
            go_on(disk, upload, another)


def go_on(disk: Disk, upload: Remote, client: Client) -> None:
    offset = check_kept(disk, upload, client)
    end = max(offset, MIB) + 1000
    fields: dict[str, object] = {"Upload_Length": end} if offset < end else {}
    said = upload.send(client, offset, end, **fields)
    assert said.status == 204, said
    assert said["upload-offset"] == str(end)
    name = upload.id
    assert (disk.outer / "root" / name).read_bytes() == upload.data[:end]


def test_a_reserve_keeps_all_others_going(disk: Disk) -> None:
    with (
        disk.uploading(settings="max_bytes = 1_000_000_000", reserve=2 * MIB) as server,
        server.client() as client,
    ):
        small = Remote("small", DATA)
        assert small.begin(client).status == 201
        small.send(client, 0, 1000)
        greedy = Deferred("", BIG)
        greedy.start(client)
        greedy.send(client, 0, MIB)
        with server.client() as another:
            assert problem(greedy.send(another, MIB, len(BIG)))[0] == 507
        check_kept(disk, greedy, client)
        small.finish(client)
        small.check_download(client)


def test_a_ledger_for_which_there_is_no_space(disk: Disk) -> None:
    """Bytes have their space, which was reserved; that they are there can not be
    written down, so it is not said."""
    with disk.uploading() as server, server.client() as client:
        upload = Remote("file", DATA)
        assert upload.begin(client).status == 201
        assert upload.send(client, 0, 1000).status == 200
        ballast = disk.fill()
        at, said = 1000, Response(200, {}, b"")
        while said.status == 200 and at < 500_000:
            said = upload.send(client, at, at + 1000)
            at += 1000
        assert problem(said) == (507, "no space is left for the ledger")
        check_kept(disk, upload, client)
        ballast.unlink()
        upload.finish(client)
    with disk.uploading() as server, server.client() as client:
        upload.check_download(client)


def test_limits_of_bytes_are_413_and_507(tmp_path: Path) -> None:
    settings = "max_bytes = 2000\nmax_client_bytes = 3000"
    with uploading(tmp_path, settings=settings) as server, server.client() as client:
        assert problem(Remote("a", bytes(2001)).begin(client))[0] == 413
        first = Remote("a", noise(2000))
        assert first.begin(client).status == 201
        said = Remote("b", bytes(1001)).begin(client)
        assert problem(said) == (507, "more bytes than may be uploaded at a time")
        first.finish(client)
        assert Remote("b", bytes(1001)).begin(client).status == 201


@pytest.mark.parametrize("write_path", ["splice", "copy"])
def test_a_limit_of_file_sizes(tmp_path: Path, write_path: str) -> None:
    place = Place(inside=("prlimit", f"--fsize={MIB}"))
    settings = f'write_path = "{write_path}"'
    with (
        uploading(tmp_path, settings=settings, place=place) as server,
        server.client() as client,
    ):
        upload = Deferred("", BIG)
        upload.start(client)
        upload.send(client, 0, 1000)
        with server.client() as another:
            said = upload.send(another, 1000, 2 * MIB)
        assert problem(said)[0] == 507
        [(_, end)] = upload.claimed(client)
        assert 1000 <= end <= MIB
        small = Remote("small", noise(1000))
        small.begin(client)
        small.finish(client)
