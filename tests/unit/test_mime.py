"""Media types: the search against a dict, the extension against posixpath."""

import posixpath

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

DEFAULT = b"application/octet-stream"
TABLE = {
    b"html": b"text/html; charset=utf-8",
    b"htm": b"text/html",
    b"gz": b"application/gzip",
    b"7z": b"application/x-7z-compressed",
    b"c++": b"text/x-c",
    b"x" * 16: b"v" * 112,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"a.html", TABLE[b"html"]),
        (b"a.HTML", TABLE[b"html"]),
        (b"dir/a.HtM", TABLE[b"htm"]),
        (b"dir.html/a.tar.gz", TABLE[b"gz"]),
        (b"a.7Z", TABLE[b"7z"]),
        (b"a.C++", TABLE[b"c++"]),
        (b"a." + b"X" * 16, b"v" * 112),
        (b"a..html", TABLE[b"html"]),
        (b"a." + b"x" * 17, DEFAULT),
        (b"a." + b"x" * 15, DEFAULT),
        (b"a.ht", DEFAULT),
        (b"a.htmlx", DEFAULT),
        (b"a.", DEFAULT),
        (b"html", DEFAULT),
        (b"dir.html/html", DEFAULT),
        (b"dir.html/", DEFAULT),
        (b".html", DEFAULT),
        (b"dir/.html", DEFAULT),
        (b"..html", DEFAULT),
        (b".a.html", TABLE[b"html"]),
        (b"", DEFAULT),
        (b"/", DEFAULT),
        (b".", DEFAULT),
    ],
)
def test_finds_the_type_of_the_last_extension(path: bytes, expected: bytes) -> None:
    assert _testing.MimeTable(TABLE.items()).lookup(path) == expected


def test_empty_table_knows_only_the_default() -> None:
    assert _testing.MimeTable([]).lookup(b"a.html") == DEFAULT


names = st.binary(min_size=1, max_size=5).map(bytes.lower)
names = names.filter(lambda n: not set(n) & {0x2E, 0x2F})


@given(st.dictionaries(names, st.binary(max_size=8), max_size=40), names)
def test_every_entry_is_found_and_nothing_else(
    table: dict[bytes, bytes], other: bytes
) -> None:
    types = _testing.MimeTable(table.items())
    for extension, value in table.items():
        assert types.lookup(b"a." + extension.upper()) == value
    assert types.lookup(b"a." + other) == table.get(other, DEFAULT)


@given(st.text(alphabet="./aB", max_size=10))
def test_extension_is_that_of_posixpath(path: str) -> None:
    table = {b"a": b"1", b"b": b"2", b"ab": b"3", b"aa": b"4", b"bb": b"5", b"ba": b"6"}
    extension = posixpath.splitext(path)[1].lower().removeprefix(".").encode()
    expected = table.get(extension, DEFAULT)
    assert _testing.MimeTable(table.items()).lookup(path.encode()) == expected


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_order_of_the_table_is_that_of_bytes(a: bytes, b: bytes) -> None:
    order = _testing.mime_order(a, b)
    assert (order > 0) - (order < 0) == (a > b) - (a < b)
