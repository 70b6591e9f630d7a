"""tus-js-client: the tus client of browsers, here in Node.js."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import noise
from tests.uploads.npm import node
from tests.uploads.served import WRITER, UploadSite

DATA = noise(1_000_003, 31)
CHUNK = 200_000


class TusJs:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "data"
        self.file.write_bytes(DATA)

    def start(self, site: UploadSite, name: str, **said: Any) -> subprocess.Popen[str]:
        options = {
            "file": str(self.file),
            "url": site.files,
            "token": WRITER,
            "name": name,
            **said,
        }
        command = node("upload.mjs", json.dumps(options))
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, err
        answer: dict[str, Any] = json.loads(out)
        return answer

    def __call__(self, site: UploadSite, name: str, **said: Any) -> dict[str, Any]:
        return self.end(self.start(site, name, **said))


@pytest.fixture
def tus_js(tmp_path: Path) -> TusJs:
    return TusJs(tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "requests"),
    [
        ("whole", {}, ["POST 201", "PATCH 204"]),
        ("chunks", {"chunkSize": CHUNK}, ["POST 201"] + ["PATCH 204"] * 6),
        ("at-once", {"uploadDataDuringCreation": True}, ["POST 201"]),
        (
            "at-once-in-chunks",
            {"uploadDataDuringCreation": True, "chunkSize": CHUNK},
            ["POST 201"] + ["PATCH 204"] * 5,
        ),
        ("post-only", {"overridePatchMethod": True}, ["POST 201", "POST 204"]),
    ],
)
def test_an_upload(
    uploads: UploadSite,
    tus_js: TusJs,
    name: str,
    options: dict[str, Any],
    requests: list[str],
) -> None:
    told = tus_js(uploads, f"js/{name}", **options)
    assert told.get("done"), told
    assert told["requests"] == requests
    assert uploads.server.get(f"/js/{name}").body == DATA


def test_of_unknown_length(uploads: UploadSite, tus_js: TusJs) -> None:
    said = {"readable": True, "uploadLengthDeferred": True, "chunkSize": 300_000}
    told = tus_js(uploads, "js/deferred", **said)
    assert told.get("done"), told
    assert uploads.server.get("/js/deferred").body == DATA


def test_three_parts_at_once_are_put_together(
    uploads: UploadSite, tus_js: TusJs
) -> None:
    told = tus_js(uploads, "js/parallel", parallelUploads=3, chunkSize=CHUNK)
    assert told.get("done"), told
    assert told["requests"].count("POST 201") == 4
    assert uploads.server.get("/js/parallel").body == DATA


def test_one_that_stopped_goes_on_in_another_process(
    uploads: UploadSite, tus_js: TusJs
) -> None:
    told = tus_js(uploads, "js/resumed", chunkSize=CHUNK, stopAt=400_000)
    assert told["accepted"] >= 400_000, told
    assert uploads.server.get("/js/resumed").status == 404
    rest = tus_js(uploads, "js/resumed", chunkSize=CHUNK, resume=told["url"])
    assert rest.get("done"), rest
    assert rest["requests"] == ["HEAD 200"] + ["PATCH 204"] * 4
    assert uploads.server.get("/js/resumed").body == DATA


def test_one_that_is_finished_is_known_as_such(
    uploads: UploadSite, tus_js: TusJs
) -> None:
    told = tus_js(uploads, "js/known")
    again = tus_js(uploads, "js/known", resume=told["url"])
    assert again["done"]
    assert again["requests"] == ["HEAD 200"]


def test_a_taken_name_is_an_error_and_no_endless_trying(
    uploads: UploadSite, tus_js: TusJs
) -> None:
    (uploads.root / "js").mkdir(exist_ok=True)
    (uploads.root / "js/taken").write_bytes(b"taken")
    told = tus_js(uploads, "js/taken", retryDelays=[0, 10])
    assert "409" in told["error"]
    assert (uploads.root / "js/taken").read_bytes() == b"taken"


@pytest.mark.parametrize("parallel", [1, 3])
def test_it_goes_on_after_the_server_was_killed(
    start_uploads: Callable[..., UploadSite], tus_js: TusJs, parallel: int
) -> None:
    site = start_uploads()
    said = {"chunkSize": 20_000, "parallelUploads": parallel}
    process = tus_js.start(site, "killed", **said)
    site.server.wait(
        "some of it is there",
        lambda: any(p.stat().st_size for p in site.folder.glob("*.part")),
    )
    site.server.extra["may_exit"] = True
    site.server.process.send_signal(signal.SIGKILL)
    site.server.process.wait()
    after = start_uploads(port=site.server.port)
    told = tus_js.end(process)
    assert told.get("done"), told
    assert "HEAD 200" in told["requests"]  # where it had to go on from
    assert after.server.get("/killed").body == DATA
