"""SIGTERM while bytes come, and clients that leave in the middle."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Client, Server
from tests.uploads.process.uploading import Remote, answer, uploading

DATA = noise(4 << 20)
SENT = 3 << 20
ABORTED = 500
IDLE_SECONDS = 20.0  # Trio's threads with nothing to do stay for ten


def begun(server: Server, *, tus: bool = False) -> Remote:
    upload = Remote("file", DATA, tus)
    with server.client() as client:
        assert upload.begin(client).status == 201
        assert upload.send(client, 0, 1000).status in (200, 204)
    return upload


def sending(server: Server, upload: Remote) -> Client:
    """In the middle of a body, of which something was received."""
    client = server.client()
    client.send(upload.head(1000, len(DATA)) + DATA[1000:SENT])
    server.wait("bytes", lambda: server.total("bytes_received_total") > SENT // 2)
    return client


@pytest.mark.parametrize("tus", [False, True])
def test_sigterm_ends_in_time_and_keeps_what_was_acknowledged(
    tmp_path: Path, *, tus: bool
) -> None:
    with uploading(tmp_path, "--drain-timeout", "0.5") as server:
        upload = begun(server, tus=tus)
        with sending(server, upload):
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 4
    assert "Traceback" not in server.log.read_text()
    with uploading(tmp_path) as server, server.client() as client:
        [(start, end)] = upload.claimed(client)
        assert start == 0
        assert 1000 <= end <= SENT
        path = tmp_path / "uploads" / f"{upload.id}.part"
        assert path.read_bytes()[:end] == DATA[:end]
        upload.finish(client)


def test_an_upload_that_ends_in_time_is_acknowledged_after_sigterm(
    tmp_path: Path,
) -> None:
    with uploading(tmp_path, "--drain-timeout", "8") as server:
        upload = begun(server)
        with sending(server, upload) as client:
            server.process.send_signal(signal.SIGTERM)
            server.wait("drain", lambda: server.status()["state"] == "draining")
            client.send(DATA[SENT:])
            said = answer(client, "PUT")
        assert said.status == 200
        assert said["upload-offset"] == str(len(DATA))
        assert server.process.wait(5) == 0
    assert (tmp_path / "root" / "file").read_bytes() == DATA


def reset(server: Server, upload: Remote) -> None:
    client = server.client()
    client.send(upload.head(1000, len(DATA)) + DATA[1000:50_000])
    client.reset()


def leave(server: Server, upload: Remote) -> None:
    with server.client() as client:
        client.send(upload.head(1000, len(DATA)) + DATA[1000:50_000])


def delete(server: Server, upload: Remote) -> None:
    with server.client() as client, server.client() as another:
        client.send(upload.head(1000, len(DATA)) + DATA[1000:50_000])
        assert upload.delete(another).status == 204


def threads(server: Server) -> int:
    return sum(1 for _ in Path(f"/proc/{server.pid}/task").iterdir())


@pytest.mark.slow
def test_nothing_is_left_of_uploads_that_were_aborted(tmp_path: Path) -> None:
    with uploading(tmp_path) as server:
        upload = begun(server)
        server.check_balance()
        before = threads(server), server.open_fds()
        for number in range(ABORTED):
            abort = (reset, leave, delete)[number % 3]
            abort(server, begun(server) if abort is delete else upload)
            server.close_clients()
        server.check_balance()
        server.wait("no intakes", lambda: server.total("intakes") == 0)
        server.wait("descriptors", lambda: server.open_fds() <= before[1])
        server.wait("threads", lambda: threads(server) <= before[0], IDLE_SECONDS)
        with server.client() as client:
            upload.finish(client)
