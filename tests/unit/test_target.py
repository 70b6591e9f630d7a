"""Request targets against urllib.parse and posixpath, and the ways out of the root."""

import errno
import posixpath
import urllib.parse

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

MALFORMED = -errno.EINVAL
HIDDEN = -errno.ENOENT
TOO_LONG = -errno.ENAMETOOLONG


def decode(raw: bytes, **options: int) -> int | tuple[bytes, bool]:
    return _testing.target_decoded(raw, **options)


@pytest.mark.parametrize(
    ("raw", "path", "slash"),
    [
        (b"/", b"", True),
        (b"/a", b"a", False),
        (b"/a/", b"a/", True),
        (b"/a/b.txt", b"a/b.txt", False),
        (b"/a?b=/../c", b"a", False),
        (b"/?", b"", True),
        (b"/a/?x", b"a/", True),
        (b"/a%20b", b"a b", False),
        (b"/%61%7E", b"a~", False),
        (b"/%e2%82%AC", "€".encode(), False),
        ("/€".encode(), "€".encode(), False),
        (b"/%0A", b"\n", False),
        (b"/a%3Fb%23", b"a?b#", False),
        (b"/a\\b", b"a\\b", False),
        (b"//a///b//", b"a/b/", True),
        (b"/./a/./b/.", b"a/b/", True),
        (b"/a/..", b"", True),
        (b"/a/b/..", b"a/", True),
        (b"/a/b/../c", b"a/c", False),
        (b"/a/b/../../c", b"c", False),
        (b"/a//../b", b"b", False),
        (b"/a/%2e%2E/b", b"b", False),
        (b"/a/.%2e/b", b"b", False),
        (b"/%2e/a", b"a", False),
        (b"/a..b/c..", b"a..b/c..", False),
        (b"http://host", b"", True),
        (b"http://host/", b"", True),
        (b"http://host?q", b"", True),
        (b"http://host:8000/a/b?q", b"a/b", False),
        (b"HTTPS://[::1]:8000//a", b"a", False),
        (b"http://host/../a/http://b", MALFORMED, False),
        (b"/http://host/a", b"http:/host/a", False),
    ],
)
def test_decodes(raw: bytes, path: bytes | int, slash: bool) -> None:
    if isinstance(path, int):
        assert decode(raw) == path
    else:
        assert decode(raw) == (path.rstrip(b"/"), slash)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"*",
        b"a",
        b"?",
        b"host:80",
        b"ftp://host/a",
        b"http:/host",
        b"http:///a",
        b"http://?a",
        b"http://:80/a",
        b"http://user@host/a",
        b"http://h:x/a",
        b"http://[::1/a",
        b"http://h\\x/a",
        b"http://ho#st/a",
        b"/..",
        b"/../a",
        b"/a/../..",
        b"/a/../../a",
        b"/%2e%2e/a",
        b"/.%2E/a",
        b"//../a",
        b"/./../a",
        b"/%",
        b"/%4",
        b"/%4?1",
        b"/%zz",
        b"/%4g",
        b"/%g4",
        b"/%%41",
        b"/%-1",
        b"/%00",
        b"/a%00.txt",
        b"/%2f",
        b"/a%2Fb",
        b"/..%2f..%2fetc/passwd",
        b"/a#b",
        b"/a?b#c",
        b"/a b",
        b"/a\r\nb",
        b"/a\x00",
        b"/a\x1f",
        b"/a\x7f",
        b"/a?\x00",
    ],
)
def test_refuses_malformed_and_climbing_targets(raw: bytes) -> None:
    assert decode(raw, show_dotfiles=True) == MALFORMED


def test_decodes_only_once() -> None:
    assert decode(b"/%252e%252e/a") == (b"%2e%2e/a", False)
    assert decode(b"/a%252fb") == (b"a%2fb", False)
    assert decode(b"/a%2500") == (b"a%00", False)


@pytest.mark.parametrize(
    "raw",
    [
        b"/.git",
        b"/.git/config",
        b"/a/.hidden",
        b"/a/.hidden/b",
        b"/%2egit/config",
        b"/...",
        b"/..a",
        b"/x/../.git",
        b"/.well-known2/a",
        b"/.well-know",
        b"/.Well-Known/a",
        b"/a/.well-known/b",
        b"/.well-known/.git",
        b"/.well-known/a/.git",
    ],
)
def test_hidden_segments_are_not_found_unless_shown(raw: bytes) -> None:
    assert decode(raw) == HIDDEN
    assert not isinstance(decode(raw, show_dotfiles=True), int)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/.well-known", b".well-known"),
        (b"/.well-known/security.txt", b".well-known/security.txt"),
        (b"/a/../.well-known/x", b".well-known/x"),
        # A hidden segment that normalisation takes away is not asked for.
        (b"/.git/../a", b"a"),
    ],
)
def test_well_known_is_served(raw: bytes, path: bytes) -> None:
    assert decode(raw) == (path, False)


def test_path_must_fit_with_its_nul() -> None:
    assert decode(b"/abc/def", cap=8) == (b"abc/def", False)
    assert decode(b"/abc/def", cap=7) == TOO_LONG
    assert decode(b"/abc/", cap=4) == (b"abc", True)
    assert decode(b"/abc/d", cap=4) == TOO_LONG
    assert decode(b"/", cap=1) == (b"", True)
    assert decode(b"/", cap=0) == TOO_LONG


@given(st.binary(max_size=24), st.integers(0, 26))
def test_capacity_changes_nothing_but_whether_it_fits(tail: bytes, cap: int) -> None:
    raw = b"/" + tail
    bounded = decode(raw, cap=cap)
    assert bounded in (decode(raw), TOO_LONG)


def model(raw: bytes, show_dotfiles: bool) -> int | tuple[bytes, bool]:
    """For targets in origin-form."""
    if any(b <= 0x20 or b in b"#\x7f" for b in raw):
        return MALFORMED
    text = raw.partition(b"?")[0].decode("latin-1")
    if "%2f" in text.lower():
        return MALFORMED
    pieces = text.split("%")[1:]
    if any(not is_hex(piece[:2]) or piece[:2] == "00" for piece in pieces):
        return MALFORMED
    decoded = urllib.parse.unquote(text, encoding="latin-1")
    if climbs(decoded):
        return MALFORMED
    path = posixpath.normpath("/" + decoded.lstrip("/")).lstrip("/")
    shown = path.split("/")
    if shown[0] == ".well-known":
        shown = shown[1:]
    if not show_dotfiles and any(segment.startswith(".") for segment in shown):
        return HIDDEN
    return path.encode("latin-1"), decoded.rsplit("/", 1)[1] in ("", ".", "..")


def is_hex(digits: str) -> bool:
    return len(digits) == 2 and all(d in "0123456789abcdefABCDEF" for d in digits)


def climbs(decoded: str) -> bool:
    """Whether any prefix of the path lies above the root."""
    depth = 0
    for segment in decoded.split("/"):
        depth += -1 if segment == ".." else segment not in ("", ".")
        if depth < 0:
            return True
    return False


pieces = st.sampled_from(
    b"/ / . .. a g 5 ? # /../ /./ .well-known % %2e %2E %2f %41 %00 %25 %e2".split()
    + [b"\xe2", b"\x01"]
)
tails = st.one_of(
    st.lists(pieces, max_size=12).map(b"".join),
    st.lists(pieces.filter(lambda p: p not in (b"%", b"#", b"\x01")), max_size=9).map(
        b"".join
    ),
    st.binary(max_size=20),
)


@given(tails, st.booleans())
def test_agrees_with_the_standard_library(tail: bytes, show_dotfiles: bool) -> None:
    raw = b"/" + tail
    assert decode(raw, show_dotfiles=show_dotfiles) == model(raw, show_dotfiles)


@given(st.one_of(tails, tails.map(lambda t: b"/" + t), st.binary()), st.booleans())
def test_result_never_leaves_the_root(raw: bytes, show_dotfiles: bool) -> None:
    found = decode(raw, show_dotfiles=show_dotfiles)
    if isinstance(found, int):
        assert found in (MALFORMED, HIDDEN)
        return
    path, _ = found
    assert b"\0" not in path
    joined = posixpath.normpath(b"/root/" + path)
    assert joined == b"/root" or joined.startswith(b"/root/")
    segments = path.split(b"/") if path else []
    assert not {b"", b".", b".."} & set(segments)


@given(tails)
def test_absolute_form_means_the_same_path(tail: bytes) -> None:
    raw = b"/" + tail
    assert decode(b"http://host:80" + raw) == decode(raw)
    assert decode(b"https://host" + raw) == decode(raw)


@given(st.binary(max_size=40))
def test_encodes_as_the_standard_library(path: bytes) -> None:
    expected = urllib.parse.quote(path, safe="/-._~!$&'()*+,;=:@").encode()
    assert _testing.target_encoded(path) == expected


def test_every_byte_is_encoded_to_visible_ascii() -> None:
    encoded = _testing.target_encoded(bytes(range(256)))
    assert all(0x20 < b < 0x7F for b in encoded)
    assert urllib.parse.unquote_to_bytes(encoded) == bytes(range(256))


segments = st.binary(min_size=1, max_size=6).filter(
    lambda s: not set(s) & {0, 0x2F} and s not in (b".", b"..")
)


@given(st.lists(segments, max_size=4).map(b"/".join))
def test_encoded_path_decodes_to_itself(path: bytes) -> None:
    raw = b"/" + _testing.target_encoded(path)
    assert decode(raw, show_dotfiles=True) == (path, path == b"")


def test_encoding_that_does_not_fit_is_refused() -> None:
    assert _testing.target_encoded(b"a b", cap=5) == b"a%20b"
    assert _testing.target_encoded(b"a b", cap=4) == TOO_LONG
    assert _testing.target_encoded(b"abc", cap=2) == TOO_LONG
    assert _testing.target_encoded(b"", cap=0) == b""
