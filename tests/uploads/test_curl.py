"""curl: the forms of an upload that people type."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.test_tools import need
from tests.conftest import noise
from tests.serving import of_others
from tests.uploads.served import WRITER, Begun, UploadSite

SIZE = 300_000
DATA = noise(SIZE, 7)


@dataclass
class Told:
    """
    Attributes:
        sent: how many bytes of the body curl sent.
        trace: what curl said of both sides, as by --verbose.
    """

    status: int
    fields: dict[str, str]
    sent: int
    trace: str


@dataclass
class Curl:
    folder: Path

    def __call__(self, begun: Begun, *options: str, key: bool = True) -> Told:
        if key:
            options = ("-H", f"Idempotency-Key: {begun.key}", *options)
        return self.run(f"{begun.site.url}{begun.target}", *options)

    def run(self, url: str, *options: str, token: str = WRITER) -> Told:
        heads = self.folder / "heads"
        shown = ("-D", str(heads), "-o", "body", "-w", "%{http_code} %{size_upload}")
        command = [need("curl"), "-svq", *shown, "-H", f"Authorization: Bearer {token}"]
        done = subprocess.run(
            [*command, *options, url],
            cwd=self.folder,
            env=of_others(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        status, sent = done.stdout.split()
        last = heads.read_text().strip().replace("\r", "").split("\n\n")[-1]
        lines = [line.partition(": ") for line in last.split("\n")[1:]]
        fields = {name.lower(): value for name, _, value in lines}
        return Told(int(status), fields, int(sent), done.stderr)


@pytest.fixture
def curl(tmp_path: Path) -> Curl:
    (tmp_path / "whole").write_bytes(DATA)
    (tmp_path / "first").write_bytes(DATA[:100_000])
    (tmp_path / "second").write_bytes(DATA[100_000:])
    return Curl(tmp_path)


FIRST = ("-T", "first", "-H", f"Range: bytes=0-99999/{SIZE}")
SECOND = ("-T", "second", "-H", f"Range: bytes=100000-{SIZE - 1}/{SIZE}")


def test_an_upload_in_two_ranges(uploads: UploadSite, curl: Curl) -> None:
    begun_by = curl.run(
        f"{uploads.url}/upload?path=curl/two.bin",
        *("-X", "POST", "-H", f"Upload-Length: {SIZE}"),
    )
    assert begun_by.status == 201
    found = begun_by.fields
    begun = Begun(uploads, found["location"], found["idempotency-key"], SIZE)
    one = curl(begun, *FIRST)
    assert (one.status, one.fields["content-range"]) == (
        200,
        f"bytes 0-99999/{SIZE}",
    )
    assert "idempotency-replayed" not in one.fields
    two = curl(begun, *SECOND)
    assert (two.status, two.fields["content-location"]) == (200, "/curl/two.bin")
    assert uploads.server.get("/curl/two.bin").body == DATA


def test_a_replay_is_answered_without_its_body(uploads: UploadSite, curl: Curl) -> None:
    begun = uploads.begin("curl/replayed.bin", SIZE)
    assert curl(begun, *FIRST).status == 200
    written = begun.part.stat().st_mtime_ns
    again = curl(begun, *FIRST, "-H", "Expect: 100-continue")
    assert again.status == 200
    assert again.fields["idempotency-replayed"] == "true"
    assert again.fields["content-range"] == f"bytes 0-99999/{SIZE}"
    assert again.sent == 0
    assert "100 Continue" not in again.trace
    assert begun.part.stat().st_mtime_ns == written
    assert curl(begun, *SECOND).status == 200
    late = curl(begun, *FIRST, "-H", "Expect: 100-continue")
    assert (late.status, late.fields["idempotency-replayed"]) == (200, "true")


def test_a_replay_is_answered_while_its_body_is_under_way(
    uploads: UploadSite, curl: Curl
) -> None:
    begun = uploads.begin("curl/pushed.bin", SIZE)
    assert curl(begun, *FIRST).status == 200
    again = curl(begun, *FIRST, "-H", "Expect:")
    assert (again.status, again.fields["idempotency-replayed"]) == (200, "true")


def test_c_goes_on_where_head_says(uploads: UploadSite, curl: Curl) -> None:
    begun = uploads.begin("curl/resumed.bin", SIZE)
    assert begun.put(0, DATA[:123_456]).status == 200
    told = curl.run(f"{uploads.url}{begun.target}", "-I")
    assert told.fields["upload-offset"] == "123456"
    rest = curl(begun, "-C", told.fields["upload-offset"], "-T", "whole")
    assert (rest.status, rest.sent) == (200, SIZE - 123_456)
    assert uploads.server.get("/curl/resumed.bin").body == DATA


def test_c_from_the_beginning(uploads: UploadSite, curl: Curl) -> None:
    begun = uploads.begin("curl/at-once.bin", SIZE)
    assert curl(begun, "-C", "-", "-T", "whole").status == 200
    assert uploads.server.get("/curl/at-once.bin").body == DATA


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_r_with_a_whole_file_is_refused_and_nothing_kept(
    uploads: UploadSite, curl: Curl, expect: str
) -> None:
    begun = uploads.begin("curl/wrong.bin", SIZE)
    told = curl(begun, "-r", "5-9", "-T", "whole", "-H", expect)
    assert told.status == 400
    assert begun.offset() == 0
    assert begun.part.stat().st_size == 0


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("-H", f"Range: bytes=0-{SIZE - 1}/999"), 400),
        (("-H", f"Range: bytes=1-{SIZE}/{SIZE + 1}"), 416),
        (("-H", "Idempotency-Key: guessed"), 403),
        (("-H", "Content-Encoding: gzip"), 415),
    ],
)
def test_a_refused_body_is_not_asked_for(
    uploads: UploadSite, curl: Curl, options: tuple[str, ...], status: int
) -> None:
    begun = uploads.begin("curl/refused.bin", SIZE)
    has_key = any("Idempotency" in option for option in options)
    sending = ("-T", "whole", "-H", "Expect: 100-continue", *options)
    told = curl(begun, *sending, key=not has_key)
    assert (told.status, told.sent) == (status, 0)
    assert not re.search(r"(?m)^< HTTP/1.1 100", told.trace)


def test_a_body_that_may_come_is_asked_for(uploads: UploadSite, curl: Curl) -> None:
    begun = uploads.begin("curl/asked.bin", SIZE)
    told = curl(begun, "-T", "whole", "-H", "Expect: 100-continue")
    assert (told.status, told.sent) == (200, SIZE)
    assert re.search(r"(?m)^< HTTP/1.1 100", told.trace)


def test_a_chunked_body(uploads: UploadSite, curl: Curl) -> None:
    begun = uploads.begin("curl/chunked.bin", SIZE)
    chunked = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")
    assert curl(begun, "-T", "whole", *chunked).status == 200
    assert uploads.server.get("/curl/chunked.bin").body == DATA


def test_a_chunked_body_of_another_length_is_forgotten(
    uploads: UploadSite, curl: Curl
) -> None:
    begun = uploads.begin("curl/chunks.bin", SIZE)
    chunked = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")
    for name, last in (("first", SIZE - 1), ("whole", 99_999)):
        told = curl(begun, "-T", name, *chunked, "-H", f"Range: bytes=0-{last}/{SIZE}")
        assert told.status == 400
        assert begun.offset() == 0
