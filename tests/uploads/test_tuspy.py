"""tuspy: the tus client that Python programs use."""

from __future__ import annotations

import asyncio
import hashlib
import io
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.storage.filestorage import FileStorage
from tusclient.uploader import Uploader

from tests.conftest import noise
from tests.uploads.served import READER, WRITER, UploadSite

# It leaves the files that it opens to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DATA = noise(1_000_003, 21)
CHUNK = 100_000


def client_of(site: UploadSite, token: str = WRITER) -> TusClient:
    return TusClient(site.files, headers={"Authorization": f"Bearer {token}"})


def uploader(site: UploadSite, name: str, **said: Any) -> Uploader:
    said = {"chunk_size": CHUNK, "metadata": {"filename": name}} | said
    if "file_path" not in said:
        said["file_stream"] = io.BytesIO(DATA)
    return client_of(site).uploader(**said)


def uploaded(site: UploadSite, name: str) -> bytes:
    return site.server.get(f"/{name}").body


@pytest.mark.parametrize("chunk", [CHUNK, 10_000_000], ids=["chunks", "at once"])
@pytest.mark.parametrize("checksum", [False, True], ids=["plain", "checksums"])
def test_an_upload(uploads: UploadSite, chunk: int, checksum: bool) -> None:
    name = f"tuspy/{chunk}-{checksum}.bin"
    uploader(uploads, name, chunk_size=chunk, upload_checksum=checksum).upload()
    assert uploaded(uploads, name) == DATA


def test_one_that_stopped_goes_on_in_another_process(
    uploads: UploadSite, tmp_path: Path
) -> None:
    """The storage of addresses is all that they share."""
    path = tmp_path / "data"
    path.write_bytes(DATA)
    said = {"file_path": str(path), "store_url": True}

    def again() -> Uploader:
        storage = FileStorage(str(tmp_path / "urls"))
        return uploader(uploads, "tuspy/resumed.bin", url_storage=storage, **said)

    again().upload(stop_at=350_000)
    assert uploads.server.get("/tuspy/resumed.bin").status == 404
    other = again()
    assert other.offset == 350_000
    other.upload()
    assert uploaded(uploads, "tuspy/resumed.bin") == DATA
    assert again().offset == len(DATA)  # of one that is finished


def test_an_empty_file(uploads: UploadSite) -> None:
    said = {"metadata": {"filename": "tuspy/empty"}}
    client_of(uploads).uploader(file_stream=io.BytesIO(), **said).upload()
    assert uploaded(uploads, "tuspy/empty") == b""


def test_a_wrong_checksum_is_refused_and_forgotten(uploads: UploadSite) -> None:
    one = uploader(uploads, "tuspy/broken.bin", upload_checksum=True)
    one.upload_chunk()
    with pytest.MonkeyPatch.context() as patch:
        wrong = hashlib.sha1(b"of other bytes")
        patch.setattr(one, "_BaseUploader__checksum_algorithm", lambda _: wrong)
        with pytest.raises(TusUploadFailed) as failed:
            one.upload_chunk()
    assert failed.value.status_code == 460
    assert one.get_offset() == CHUNK
    one.upload()
    assert uploaded(uploads, "tuspy/broken.bin") == DATA


def test_who_may_not_upload_is_told(uploads: UploadSite) -> None:
    one = client_of(uploads, READER).uploader(file_stream=io.BytesIO(DATA))
    status = 0
    try:
        one.upload()
    except TusCommunicationError as refused:  # which holds a connection, while it lives
        status = refused.status_code
    assert status == 403


async def test_the_asynchronous_one(uploads: UploadSite) -> None:
    said = {"chunk_size": CHUNK, "metadata": {"filename": "tuspy/async.bin"}}
    client = client_of(uploads)
    one = client.async_uploader(file_stream=io.BytesIO(DATA), **said)
    await trio.to_thread.run_sync(lambda: asyncio.run(one.upload()))
    assert uploaded(uploads, "tuspy/async.bin") == DATA


@pytest.mark.parametrize("chunk", [20_000, 400_000])
def test_it_goes_on_after_the_server_was_killed(
    start_uploads: Callable[..., UploadSite], chunk: int
) -> None:
    """In the middle of a request or between two; the client only waits a little."""
    site = start_uploads()
    one = uploader(site, "killed.bin", chunk_size=chunk, retries=100, retry_delay=0.1)
    one.upload(stop_at=400_000)
    thread = threading.Thread(target=one.upload)
    thread.start()
    time.sleep(0.02)
    site.server.extra["may_exit"] = True
    site.server.process.send_signal(signal.SIGKILL)
    site.server.process.wait()
    acknowledged = one.offset
    after = start_uploads(port=site.server.port)
    target = one.url.removeprefix(site.url)
    assert int(after.tus("HEAD", target)["upload-offset"]) >= acknowledged
    thread.join(30)
    assert not thread.is_alive()
    assert uploaded(after, "killed.bin") == DATA
    assert after.left_over() == set()
