"""A disk that can not sync: the part, which is the end of its upload and of no other;
the ledger, which is the end of acknowledgements until a restart reads it again."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import noise
from tests.serving import Client
from tests.tracing import failing, traced
from tests.uploads.process.uploading import Remote, uploading

DATA = noise(200_000)
HALF = 100_000


def begun(client: Client, name: str) -> Remote:
    upload = Remote(name, DATA)
    assert upload.begin(client).status == 201
    assert upload.send(client, 0, HALF).status == 200
    return upload


def only(path: Path) -> tuple[str, ...]:
    return ("-P", str(path), *failing("fsync,fdatasync", "EIO"))


def test_a_part_that_can_not_be_synced_ends_its_upload_alone(tmp_path: Path) -> None:
    with uploading(tmp_path) as server, server.client() as client:
        upload, other = begun(client, "file"), begun(client, "other")
        with traced(server, *only(tmp_path / "uploads" / f"{upload.id}.part")):
            said = upload.send(client, HALF, len(DATA))
            assert said.status == 500
            assert b"the upload has failed" in said.body
            with server.client() as another:
                other.finish(another)
        with server.client() as another:
            assert upload.status(another).status == 410
        assert "Input/output error" in server.log.read_text()
    with uploading(tmp_path) as server, server.client() as client:
        assert upload.status(client).status == 410
        other.check_download(client)


def test_a_ledger_that_can_not_be_synced_acknowledges_nothing(tmp_path: Path) -> None:
    with uploading(tmp_path) as server, server.client() as client:
        upload = begun(client, "file")
        with traced(server, *only(tmp_path / "uploads" / "ledger.sqlite-wal")):
            assert upload.send(client, HALF, len(DATA)).status == 500
        with server.client() as another:
            said = upload.send(another, HALF, len(DATA))
            assert said.status == 500
            assert b"the ledger's disk has failed" in said.body
            assert upload.claimed(another) == ((0, HALF),)
            assert another.get("/").status == 404
        assert "uploads are refused until a restart" in server.log.read_text()
    with uploading(tmp_path) as server, server.client() as client:
        upload.finish(client)
