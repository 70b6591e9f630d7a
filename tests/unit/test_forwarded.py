"""Forwarded and X-Forwarded-For: read from the right, as far as proxies are trusted."""

import ipaddress
import re

import pytest
from hypothesis import given, strategies as st

from penstock import _testing
from tests.unit.test_cidr import network, table, wide

# 10.0.0.0/8 and fd00::/8 are trusted proxies, and nobody else.
PROXIES = table({network("10.0.0.0/8"): 0, network("fd00::/8"): 0})
TRUSTED = (network("10.0.0.0/8"), network("fd00::/8"))
HOPS_MAX = _testing.FORWARDED_HOPS
Found = tuple[str, str | None]


def shown(result: tuple[str, bytes | None]) -> Found:
    kind, packed = result
    if packed is None:
        return kind, None
    address = ipaddress.IPv6Address(packed)
    return kind, str(address.ipv4_mapped or address)


def forwarded(value: bytes | None) -> Found:
    return shown(_testing.forwarded(value, False, PROXIES))


def x_forwarded_for(value: bytes | None) -> Found:
    return shown(_testing.forwarded(value, True, PROXIES))


NONE: Found = ("none", None)
MALFORMED: Found = ("malformed", None)


def found(address: str) -> Found:
    return "found", address


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, NONE),
        (b"", NONE),
        (b" , ,", NONE),
        (b"for=192.0.2.43", found("192.0.2.43")),
        (b"For=192.0.2.43", found("192.0.2.43")),
        (b'for="192.0.2.43:47011"', found("192.0.2.43")),
        (b'for="[2001:db8:cafe::17]:4711"', found("2001:db8:cafe::17")),
        (b'for="[2001:db8::1]"', found("2001:db8::1")),
        (b'for="[::ffff:192.0.2.1]"', found("192.0.2.1")),
        (b'for="192.0.2.1:_port"', found("192.0.2.1")),
        (b"by=203.0.113.43;for=192.0.2.60;proto=http", found("192.0.2.60")),
        (b"for=192.0.2.60; proto=http ; by=_x", found("192.0.2.60")),
        (b"for=192.0.2.60;;proto=http;", found("192.0.2.60")),
        (b"for=192.0.2.43, for=198.51.100.17", found("198.51.100.17")),
        (b"for=192.0.2.43,for=10.0.0.1, for=10.0.0.2", found("192.0.2.43")),
        (b'for=192.0.2.43, for="[fd00::1]:80"', found("192.0.2.43")),
        (b'for=1.1.1.1, for=10.0.0.1;host="a, for=6.6.6.6"', found("1.1.1.1")),
        (b'for=192.0.2.1;host="a\\"b\\\\"', found("192.0.2.1")),
        (b"for=10.0.0.3, for=10.0.0.2", found("10.0.0.3")),
        (b"for=192.0.2.43, for=unknown", NONE),
        (b"for=192.0.2.43, for=UNKNOWN, for=10.0.0.1", NONE),
        (b"for=192.0.2.43, for=_hidden", NONE),
        (b'for="_SEVKISEK:_gazonk"', NONE),
        (b"for=192.0.2.43, proto=https", NONE),
        (b"for=192.0.2.43:80", MALFORMED),
        (b"for=[2001:db8::1]", MALFORMED),
        (b'for="2001:db8::1"', MALFORMED),
        (b'for="[192.0.2.1]"', MALFORMED),
        (b'for="[2001:db8::1]80"', MALFORMED),
        (b'for="[2001:db8::1"', MALFORMED),
        (b'for="[fe80::1%eth0]"', MALFORMED),
        (b'for="192.0.2.1:123456"', MALFORMED),
        (b'for="192.0.2.1:"', MALFORMED),
        (b'for="\\192.0.2.1"', MALFORMED),
        (b"for=192.0.2.01", MALFORMED),
        (b"for=192.0.2", MALFORMED),
        (b"for=", MALFORMED),
        (b'for=""', MALFORMED),
        (b"for", MALFORMED),
        (b"=192.0.2.1", MALFORMED),
        (b"for =192.0.2.1", MALFORMED),
        (b"for= 192.0.2.1", MALFORMED),
        (b"for=192.0.2.1;for=192.0.2.2", MALFORMED),
        (b'for=192.0.2.1"', MALFORMED),
        (b'for="192.0.2.1', MALFORMED),
        (b'for="192.0.2.1\\"', MALFORMED),
        (b'"for=192.0.2.1"', MALFORMED),
        (b"for=example.org", MALFORMED),
        (b"for=192.0.2.1 proto=http", MALFORMED),
    ],
)
def test_forwarded(value: bytes | None, result: Found) -> None:
    assert forwarded(value) == result


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, NONE),
        (b"", NONE),
        (b"192.0.2.1", found("192.0.2.1")),
        (b"192.0.2.1:8080", found("192.0.2.1")),
        (b"2001:db8::1", found("2001:db8::1")),
        (b"[2001:db8::1]", found("2001:db8::1")),
        (b"[2001:db8::1]:443", found("2001:db8::1")),
        (b"::ffff:192.0.2.1", found("192.0.2.1")),
        (b"192.0.2.9, 192.0.2.1", found("192.0.2.1")),
        (b"192.0.2.9,192.0.2.1,10.0.0.1 ,\t10.0.0.2", found("192.0.2.1")),
        (b"192.0.2.9, fd00::7", found("192.0.2.9")),
        (b"10.0.0.1", found("10.0.0.1")),
        (b"192.0.2.1, unknown", NONE),
        (b"192.0.2.1, _x", NONE),
        (b"192.0.2.1, example.org", MALFORMED),
        (b"192.0.2.1, 192.0.2.256", MALFORMED),
        (b"192.0.2.1 192.0.2.2", MALFORMED),
        (b'"192.0.2.1"', MALFORMED),
        (b"for=192.0.2.1", MALFORMED),
        (b"192.0.2.1\x00", MALFORMED),
        (b"[192.0.2.1]", MALFORMED),
        (b"192.0.2.1/32", MALFORMED),
    ],
)
def test_x_forwarded_for(value: bytes | None, result: Found) -> None:
    assert x_forwarded_for(value) == result


@pytest.mark.parametrize(
    "rubbish", [b"", b'"', b'for="', b"for=6.6.6.6", b"\\", b"a=b;", b"\xff", b"for=,"]
)
def test_what_others_wrote_to_the_left_changes_nothing(rubbish: bytes) -> None:
    """Else a client could choose how it is known, or that it is not."""
    for end in (b"for=192.0.2.1", b'for="[2001:db8::1]:1";host="a,\\"b"'):
        assert forwarded(rubbish + b", " + end)[0] == "found"
        assert forwarded(rubbish + b"," + end) == forwarded(end)
    assert x_forwarded_for(rubbish + b", 192.0.2.1") == found("192.0.2.1")


def test_a_chain_of_proxies_has_a_bound() -> None:
    chain = b", ".join([b"10.0.0.1"] * HOPS_MAX)
    assert x_forwarded_for(chain) == found("10.0.0.1")
    assert x_forwarded_for(b"192.0.2.1, " + chain) == MALFORMED
    assert x_forwarded_for(b"192.0.2.1, " + chain[10:]) == found("192.0.2.1")


# --- an oracle in another way: the shortest end of the field that is an element ------

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PAIR = rf"({_TOKEN})=({_TOKEN}|{_QUOTED})"
_ELEMENT = re.compile(rf"[ \t]*(?:{_PAIR})?[ \t]*(?:;[ \t]*(?:{_PAIR})?[ \t]*)*")
_PORT = r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
_HIDDEN = re.compile(rf"(?:(?i:unknown)|_[A-Za-z0-9._-]+){_PORT}")
_NODE = re.compile(rf"(?:\[([^\]]*)\]|([0-9.]+)){_PORT}")


def node(text: str) -> tuple[str, str | None]:
    if _HIDDEN.fullmatch(text):
        return NONE
    match = _NODE.fullmatch(text)
    try:
        if match is None or "%" in text:
            return MALFORMED
        if match[1] is not None:
            v6 = ipaddress.IPv6Address(match[1])
            return found(str(v6.ipv4_mapped or v6))
        return found(str(ipaddress.IPv4Address(match[2])))
    except ValueError:
        return MALFORMED


def element(text: str) -> tuple[str, str | None]:
    pairs = re.findall(_PAIR, text)
    nodes = [value for name, value in pairs if name.lower() == "for"]
    if len(nodes) > 1:
        return MALFORMED
    if not nodes:
        return NONE
    return node(nodes[0][1:-1] if nodes[0].startswith('"') else nodes[0])


def is_trusted(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return any(net.version == address.version and address in net for net in TRUSTED)


def oracle(value: bytes) -> Found:
    rest, result = value.decode("latin-1"), NONE
    hops = 0
    while rest := rest.rstrip(" \t,"):
        commas = [i for i, c in enumerate(rest) if c == ","]
        starts = [i + 1 for i in reversed(commas)] + [0]
        start = next((i for i in starts if _ELEMENT.fullmatch(rest[i:])), None)
        if start is None or hops == HOPS_MAX:
            return MALFORMED
        result = element(rest[start:])
        if result[1] is None or not is_trusted(result[1]):
            return result
        hops += 1
        rest = rest[: max(start - 1, 0)]
    return result


nodes = st.one_of(
    st.sampled_from(["10.0.0.1", "10.9.9.9", "192.0.2.1", "unknown", "_x", "x"]),
    st.sampled_from(['"[fd00::1]:80"', '"[2001:db8::1]"', '"192.0.2.7:1"', '"a,b"']),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda a: f'"[{a}]"'),
)
pairs = st.one_of(
    nodes.map("for={}".format),
    nodes.map("by={}".format),
    st.sampled_from(["proto=https", 'host="a\\"b"', 'host="a, for=6.6.6.6"', "", "x"]),
)
elements = st.lists(pairs, min_size=1, max_size=4).map(";".join)
fields = st.lists(elements, max_size=6).map(", ".join)
SPLINTERS = ["for=", "10.0.0.1", "9.9.9.9", *'",;=_x[] \\']
splinters = st.lists(st.sampled_from(SPLINTERS), max_size=30).map("".join)


@given(fields | splinters | st.builds(lambda a, b: a + b, splinters, fields))
def test_forwarded_agrees_with_another_reader(value: str) -> None:
    assert forwarded(value.encode()) == oracle(value.encode())


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_are_judged(left: bytes, right: bytes) -> None:
    assert forwarded(left) == oracle(left)
    x_forwarded_for(left)
    appended = left + b", for=192.0.2.1"
    assert forwarded(appended) == found("192.0.2.1")
    assert x_forwarded_for(right + b",192.0.2.1") == found("192.0.2.1")


@given(st.lists(st.ip_addresses(), min_size=1, max_size=HOPS_MAX))
def test_the_rightmost_address_that_is_not_trusted(
    chain: "list[ipaddress.IPv4Address | ipaddress.IPv6Address]",
) -> None:
    value = ", ".join(str(a) for a in chain).encode()
    strangers = [a for a in chain if PROXIES.find(wide(a)) is None]
    source = ipaddress.IPv6Address(wide((strangers or chain[:1])[-1]))
    assert x_forwarded_for(value) == found(str(source.ipv4_mapped or source))
