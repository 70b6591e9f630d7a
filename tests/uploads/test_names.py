"""Where a file may go, by the names that a request brings."""

import pytest

from penstock.uploads.model import RefusedError
from penstock.uploads.names import location, named_by, target_path


@pytest.mark.parametrize(
    "text", ["a", "a/b/c.tar.gz", "ü/☃", "a b", "a..b", "a\\b", "x" * 255]
)
def test_a_path_is_taken_as_it_is(text: str) -> None:
    assert target_path(text) == text
    assert target_path("/" + text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "//a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "../../etc/passwd",
        "a/./b",
        ".hidden",
        "a/.git/config",
        "a\0b",
        "a\nb",
        "a\r\nX: y",
        "a\x7f",
        "a\x85b",
        "x" * 256,
        "ü" * 128,
        "a/" * 512 + "a",
        "\udc80",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(RefusedError) as caught:
        target_path(text)
    assert caught.value.status == 400
    assert caught.value.detail.isprintable()


def test_the_location_of_a_file_is_a_url() -> None:
    assert location("a b/ü?#%.txt") == "/a%20b/%C3%BC%3F%23%25.txt"


def test_metadata_names_a_file_and_may_name_its_folder() -> None:
    assert named_by({"filename": b"a.txt"}) == "a.txt"
    both = {"filename": b"a.txt", "relativePath": b"/photos/a.txt"}
    assert named_by(both) == "photos/a.txt"
    assert named_by({"filename": b"a.txt", "relativePath": b"null"}) == "a.txt"
    assert named_by({"filename": b"", "kind": b"x"}) is None
    assert named_by({}) is None


@pytest.mark.parametrize("key", ["filename", "relativePath"])
@pytest.mark.parametrize(
    "value", [b"../../etc/passwd", b"\xff", b"a\0", b"a\r\nX: y", b"y" * 300, b"."]
)
def test_metadata_cannot_lead_elsewhere(key: str, value: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        named_by({key: value})
    assert caught.value.status == 400


def test_an_absolute_name_is_below_the_root() -> None:
    assert named_by({"filename": b"/etc/passwd"}) == "etc/passwd"
