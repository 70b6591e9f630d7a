"""Names that want to lead somewhere else, and what they reach: nothing."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.uploads.served import UploadSite

NAMES = {
    "above the root": b"../../etc/passwd",
    "within, and above": b"a/../../b",
    "absolute": b"//etc/passwd",
    "only dots": b"..",
    "a dot": b".",
    "NUL": b"a\0b",
    "a field of the answer": b"a\r\nX-Injected: yes",
    "300 characters": b"n" * 300,
    "a folder": b"folder/",
    "hidden": b".htaccess",
    "hidden below": b"a/.git/config",
    "C1 control characters": "a\x85b".encode(),
}
named = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def metadata(name: bytes, key: str = "filename") -> str:
    return f"{key} {base64.b64encode(name).decode()}"


@named
def test_no_name_in_metadata_leaves_the_root(uploads: UploadSite, name: bytes) -> None:
    around = uploads.root.parent
    before = everything(around)
    for key in ("filename", "relativePath"):
        said = {"upload_length": "0", "upload_metadata": metadata(name, key)}
        answer = uploads.tus("POST", "/files", **said)
        assert answer.status == 400
        assert "x-injected" not in answer.headers
    assert everything(around) == before


@named
def test_no_path_leaves_the_root(uploads: UploadSite, name: bytes) -> None:
    before = everything(uploads.root.parent)
    answer = uploads.ask("POST", f"/upload?path={quote(name)}", upload_length="0")
    assert answer.status == 400
    assert "x-injected" not in answer.headers
    assert everything(uploads.root.parent) == before


def test_an_absolute_path_is_one_of_the_root(uploads: UploadSite) -> None:
    answer = uploads.tus(
        "POST", "/files", upload_length="0", upload_metadata=metadata(b"/etc/passwd")
    )
    assert answer.status == 201
    assert (uploads.root / "etc/passwd").read_bytes() == b""


def test_names_that_are_not_unicode_are_refused(uploads: UploadSite) -> None:
    said = {"upload_length": "0", "upload_metadata": metadata(b"\xff\xfe")}
    assert uploads.tus("POST", "/files", **said).status == 400
    answer = uploads.ask("POST", "/upload?path=%ff%fe", upload_length="0")
    assert answer.status == 400


@pytest.mark.parametrize("target", ["out", "dangling", "file", "loop"])
def test_no_symbolic_link_is_followed(
    uploads: UploadSite, tmp_path: Path, target: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs")
    to = {"out": outside, "file": outside / "file", "dangling": tmp_path / "nothing"}
    link = uploads.root / f"link-{target}"
    link.symlink_to(to.get(target, link))
    try:
        for path in (link.name, f"{link.name}/file", f"{link.name}/new/file"):
            for fields in ({}, {"if_match": "*"}):
                answer = uploads.ask(
                    "POST", f"/upload?path={path}", upload_length="0", **fields
                )
                assert answer.status in (403, 404, 409, 412)
        assert everything(tmp_path) == {outside, outside / "file"}
        assert (outside / "file").read_bytes() == b"theirs"
    finally:
        link.unlink()


def test_a_link_that_appears_meanwhile_is_not_followed(
    uploads: UploadSite, tmp_path: Path
) -> None:
    begun = uploads.begin("swapped/file", 4)
    (uploads.root / "swapped").symlink_to(tmp_path)
    try:
        assert begun.put(0, b"data").status in (403, 409)
        assert everything(tmp_path) == set()
    finally:
        (uploads.root / "swapped").unlink()
    assert begun.put(0, b"data").status == 200
    assert uploads.server.get("/swapped/file").body == b"data"


@pytest.mark.parametrize(
    "upload_id",
    ["../ledger", "..%2Fledger.sqlite", "%00", "a" * 2000, "", "ledger.sqlite", "%ff"],
)
def test_no_id_leads_to_another_file(uploads: UploadSite, upload_id: str) -> None:
    before = (uploads.folder / "ledger.sqlite").stat().st_size
    for method in ("HEAD", "PUT", "DELETE"):
        answer = uploads.ask(
            method, f"/upload?upload_id={upload_id}", idempotency_key="k"
        )
        assert answer.status in (400, 404)
    for method in ("HEAD", "PATCH", "DELETE"):
        answer = uploads.tus(method, f"/files/{upload_id}", upload_offset="0")
        assert answer.status in (400, 404, 405)
    assert (uploads.folder / "ledger.sqlite").stat().st_size >= before


def test_what_is_in_the_folder_is_not_served(uploads: UploadSite) -> None:
    begun = uploads.begin("inner.bin", 4)
    for path in (f"/../uploads/{begun.id}.part", f"/..%2fuploads%2f{begun.id}.part"):
        assert uploads.server.get(path).status in (400, 404)
