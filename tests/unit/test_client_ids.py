"""Client ids from a header: which are accepted, and whose row they name."""

import hashlib
import ipaddress
import sys

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

KEY_NAME, KEY_ADDRESS = 1, 3


@pytest.mark.parametrize(
    "value",
    [b"a", b"user_123", b"a b", "bücher".encode(), "用户".encode(), b"x" * 64]
    + ["😀".encode(), b"192.0.2.7", b"(overflow", b"Other", b'"quoted"', b"a,b"],
)
def test_usable_ids(value: bytes) -> None:
    assert _testing.client_id_usable(value)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"x" * 65, b"a\tb", b"a\x00", b"\x7f", b"\x80", b"\xc0\xaf", b"\xff"]
    + [b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"other", b"(overflow)"]
    + ["a\u202eb".encode(), "\u200b".encode(), "\ufeff".encode(), "\x85".encode()]
    + ["\u00a0".encode(), "\u2028".encode()],
)
def test_unusable_ids(value: bytes | None) -> None:
    assert not _testing.client_id_usable(value)


@given(st.binary(min_size=1, max_size=70))
def test_only_utf_8_is_usable(value: bytes) -> None:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "\x00"
    if _testing.client_id_usable(value):
        assert len(value) <= 64
        assert text.encode() == value
        assert "\x00" not in text


@given(st.text(min_size=1, max_size=16))
def test_what_python_prints_is_usable_and_nothing_else(text: str) -> None:
    """A row whose name Python refused could not be given a limit."""
    value = text.encode("utf-8", "surrogatepass")
    possible = text.isprintable() and len(value) <= 64 and text != "other"
    assert _testing.client_id_usable(value) == possible


def test_every_character_is_usable_when_python_prints_it() -> None:
    wrong = [
        c
        for c in range(sys.maxunicode + 1)
        if _testing.client_id_usable(chr(c).encode("utf-8", "surrogatepass"))
        != chr(c).isprintable()
    ]
    assert not wrong


@given(st.ip_addresses())
def test_an_id_that_spells_an_address_names_its_row(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    kind, key = _testing.client_id_key(str(address).encode())
    assert kind == KEY_ADDRESS
    mapped = address.version == 6 and address.ipv4_mapped
    if address.version == 4 or mapped:
        v4 = mapped or address
        assert key == bytes(10) + b"\xff\xff" + v4.packed + bytes(16)
    else:
        assert key == address.packed[:8] + bytes(24)
        assert _testing.client_id_key(f"{address}/64".encode()) == (kind, key)


@pytest.mark.parametrize(
    "value", [b"user", b"192.0.2.7/32", b"192.0.2.7/64", b"2001:db8::/48", b"1.2.3"]
)
def test_any_other_id_is_known_by_its_digest(value: bytes) -> None:
    assert _testing.client_id_key(value) == (KEY_NAME, hashlib.sha256(value).digest())
