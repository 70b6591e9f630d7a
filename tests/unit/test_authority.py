"""Host values and authorities, by the grammar of RFC 3986."""

import ipaddress

import pytest
from hypothesis import given, strategies as st

from penstock import _testing


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"h",
        b"example.org",
        b"EXAMPLE.org:8080",
        b"h:",
        b":80",
        b"h:99999",
        b"127.0.0.1:8000",
        b"xn--bcher-kva.example",
        b"a_b~c",
        b"%C3%BC.example",
        b"[::1]",
        b"[::1]:8000",
        b"[2001:db8::192.0.2.1]:",
        b"[v1.fe80:a]",
    ],
)
def test_well_formed_hosts(value: bytes) -> None:
    assert _testing.authority_valid(value)


@pytest.mark.parametrize(
    "value",
    [
        b"a b",
        b"a\tb",
        b"a/b",
        b"http://h/",
        b"u@h",
        b"h:abc",
        b"h:80:80",
        b"h:-1",
        b"::1",
        b"[::1",
        b"[::1]x",
        b"[]",
        b"[::1]]",
        b"[127.0.0.1]",
        b"[fe80::1%25eth0]",
        b"[::1\x00]",
        b"[" + b"0" * 60 + b"]",
        b"[v.a]",
        b"[v1.]",
        b"[v1]",
        b"<x>",
        b"h?x#y",
        b"h\\x",
        b"h%2",
        b"h%zz",
        b"a,b c",
        b'"h"',
        b"\xff",
        "bücher.example".encode(),
        b"h\x00",
    ],
)
def test_malformed_hosts(value: bytes) -> None:
    assert not _testing.authority_valid(value)


@given(st.ip_addresses())
def test_every_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    text = str(address).encode()
    assert _testing.authority_valid(text) == (address.version == 4)
    assert _testing.authority_valid(b"[" + text + b"]") == (address.version == 6)


@given(st.binary(max_size=60))
def test_any_bytes_are_judged(value: bytes) -> None:
    _testing.authority_valid(value)
    _testing.authority_valid(b"[" + value)
