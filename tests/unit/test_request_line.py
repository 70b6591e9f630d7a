"""Methods, protocols and versions: the same verdict however the bytes are cut."""

from __future__ import annotations

import pytest

from penstock import _testing
from tests.parsing import SIMPLE, parse_all

GET = 1
HEAD = 2
REST = b" /a HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("protocol", "status"),
    [
        (b"HTTP/1.0", 0),
        (b"HTTP/1.1", 0),
        (b"HTTP/1.2", 0),
        (b"HTTP/1.9", 0),
        (b"HTTP/0.9", 505),
        (b"HTTP/2.0", 505),
        (b"HTTP/2.1", 505),
        (b"HTTP/3.1", 505),
        (b"HTTP/9.9", 505),
        (b"HTTP/1.1 ", 400),
        (b"HTTP/2.0 ", 400),
        (b"HTTP/1.10", 400),
        (b"HTTP/11.1", 400),
        (b"HTTP/1", 400),
        (b"HTTP/1.", 400),
        (b"HTTP/2", 400),
        (b"HTTP/x.1", 400),
        (b"HTTP/", 400),
        (b"http/1.1", 400),
        (b"HTTQ/1.1", 400),
        (b"RTSP/1.0", 400),
        (b"RTSP/1.1", 400),
        (b"ICE/1.0", 400),
    ],
)
@pytest.mark.parametrize("spaces", [1, 2, 3])
def test_protocols_and_versions_at_every_cut(
    protocol: bytes, status: int, spaces: int
) -> None:
    stream = b"GET /a" + b" " * spaces + protocol + b"\r\nHost: h\r\n\r\n"
    for at in range(1, len(stream)):
        (head,) = parse_all(_testing.Parser(), [stream[:at], stream[at:]])
        assert head["status"] == status
    (head,) = parse_all(_testing.Parser(), [bytes([b]) for b in stream])
    assert head["status"] == status
    if status == 0:
        assert head["keep_alive"] == (protocol != b"HTTP/1.0")


def test_another_protocol_is_refused_for_its_own_methods() -> None:
    for line in (b"SOURCE /a ICE/1.0", b"DESCRIBE /a RTSP/1.0", b"OPTIONS * RTSP/1.1"):
        stream = line + b"\r\nHost: h\r\n\r\n"
        for pieces in ([stream], [bytes([b]) for b in stream]):
            assert parse_all(_testing.Parser(), pieces)[-1]["status"] == 400


@pytest.mark.parametrize(
    ("method", "status"),
    [
        (b"BREW", 501),
        (b"B", 501),
        (b"BI", 501),
        (b"GETX", 501),
        (b"HEADX", 501),
        (b"DELETEX", 501),
        (b"get", 501),
        (b"X" * 300, 501),
        (b"!#$%&'*+-.^_`|~09azAZ", 501),
        (b"", 400),
        (b"BR(W", 400),
        (b"BREW\t", 400),
        (b"BREW\r\n", 400),
        (b"G\x00T", 400),
        (b"GE,T", 400),
        (b"\xffGET", 400),
        (b"\x16\x03\x01", 400),
    ],
)
@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_unknown_methods_at_every_cut(
    before: bytes, method: bytes, status: int
) -> None:
    stream = before + method + REST
    for at in range(1, len(stream)):
        (head,) = parse_all(_testing.Parser(), [stream[:at], stream[at:]])
        assert head["status"] == status
        assert head["method"] != HEAD
    (head,) = parse_all(_testing.Parser(), [bytes([b]) for b in stream])
    assert head["status"] == status


def test_an_unknown_method_after_another_request() -> None:
    heads = parse_all(_testing.Parser(), [SIMPLE, b"BR", b"EW", REST])
    assert [head["status"] for head in heads] == [0, 501]


def test_a_method_without_end_is_unknown() -> None:
    heads = parse_all(_testing.Parser(), [b"X" * 4096] * 20)
    assert [head["status"] for head in heads] == [501]


@pytest.mark.parametrize(
    "after",
    [
        b" " * 60000 + b"/a",
        b" /" + b"a" * 9000,
        b" /a HTTP/x",
        b" /a RTSP/1.0\r\n",
        b" /a HTTP/1.1\r\nbroken line\r\n",
        b" /a HTTP/2.0\r\n\r\n",
        b" /a HTTP/1.1\r\nA: " + b"b" * 40000,
    ],
)
def test_a_refusal_in_the_head_knows_that_it_answers_head(after: bytes) -> None:
    for method, number in ((b"HEAD", HEAD), (b"GET", GET)):
        heads = parse_all(_testing.Parser(), [SIMPLE + method + after])
        assert heads[1]["status"] != 0
        assert heads[1]["method"] == number
