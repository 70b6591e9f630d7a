"""Files that change behind a server's back: an upload whose bytes are not there is
over, and no offset is ever told that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Client, Server
from tests.uploads.process.uploading import Remote, uploading

DATA = noise(200_000)
HALF = 100_000


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    with uploading(tmp_path) as server:
        yield server


def begun(client: Client, *, tus: bool) -> Remote:
    upload = Remote("file", DATA, tus)
    assert upload.begin(client).status == 201
    assert upload.send(client, 0, HALF).status in (200, 204)
    return upload


def part(home: Path, upload: Remote) -> Path:
    return home / "uploads" / f"{upload.id}.part"


def check_over(upload: Remote, client: Client) -> None:
    """A client begins anew."""
    said = upload.status(client)
    assert said.status == 410
    assert "upload-offset" not in said.headers
    assert upload.send(client, HALF, len(DATA)).status == 410
    with client:
        client.closed()


@pytest.mark.parametrize("tus", [False, True])
def test_a_part_that_was_shortened_ends_its_upload_when_bytes_come(
    served: Server, tmp_path: Path, *, tus: bool
) -> None:
    with served.client() as client:
        upload = begun(client, tus=tus)
        os.truncate(part(tmp_path, upload), HALF - 1)
        said = upload.send(client, HALF, len(DATA))
        assert said.status == 500
        assert b"the upload has failed" in said.body
    with served.client() as client:
        check_over(upload, client)


@pytest.mark.parametrize("tus", [False, True])
@pytest.mark.parametrize("lost", [False, True])
def test_a_part_that_was_shortened_has_no_offset(
    served: Server, tmp_path: Path, *, tus: bool, lost: bool
) -> None:
    with served.client() as client:
        upload = begun(client, tus=tus)
        path = part(tmp_path, upload)
        if lost:
            path.unlink()
        else:
            os.truncate(path, HALF - 1)
        check_over(upload, client)
    assert not path.exists()


@pytest.mark.parametrize("lost", [False, True])
def test_a_part_that_was_shortened_before_the_start_ends_its_upload(
    tmp_path: Path, *, lost: bool
) -> None:
    with uploading(tmp_path) as server, server.client() as client:
        upload = begun(client, tus=False)
        other = Remote("other", DATA)
        other.begin(client)
        other.send(client, 0, HALF)
    path = part(tmp_path, upload)
    if lost:
        path.unlink()
    else:
        os.truncate(path, HALF - 1)
    with uploading(tmp_path) as server, server.client() as client:
        other.finish(client)
        check_over(upload, client)
        assert "has failed: its part file" in server.log.read_text()


@pytest.mark.parametrize("where", ["header", "session"])
def test_a_damaged_ledger_is_not_served(tmp_path: Path, where: str) -> None:
    with uploading(tmp_path) as server, server.client() as client:
        upload = begun(client, tus=False)
    ledger = tmp_path / "uploads" / "ledger.sqlite"
    whole = ledger.read_bytes()
    name = b"SQLite" if where == "header" else upload.id.encode()
    ledger.write_bytes(whole.replace(name, bytes(len(name))))
    with (
        pytest.raises(AssertionError, match="move it away") as raised,
        uploading(tmp_path),
    ):
        pass
    assert "restore it from a backup" in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert part(tmp_path, upload).exists()
    ledger.write_bytes(whole)
    with uploading(tmp_path) as server, server.client() as client:
        upload.finish(client)


def test_two_servers_do_not_share_a_folder(served: Server, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="another server uses it"),
        uploading(tmp_path),
    ):
        pass
    assert served.get("/").status in (200, 404)
