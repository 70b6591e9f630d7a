"""The parser adapter: same requests however the bytes are cut, and refusals by name."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from penstock import _testing
from tests.parsing import CHUNKED, SIMPLE, parse_all

GET = 1
HEAD = 2
OPTIONS = 6

RICH = (
    b"HEAD /some/file%20name?q=1 HTTP/1.1\r\nhOST: example.org\r\n"
    b'User-Agent: x\r\nRange: bytes=0-1 \r\nIf-None-Match: "a"\r\n'
    b'If-None-Match: W/"b"\r\nX-Very-Long-Header-Name-That-Nobody-Knows: y\r\n'
    b'Authorization:\tBearer t0k3n\t\r\nIf-Range: "r"\r\n\r\n'
)
BODY = b"POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"


def test_a_head_is_read_into_its_fields() -> None:
    (head,) = parse_all(_testing.Parser(), [RICH])
    assert head["method"] == HEAD
    assert head["target"] == b"/some/file%20name?q=1"
    assert head["keep_alive"]
    assert head["status"] == 0
    assert head["fields"] == {
        "host": b"example.org",
        "range": b"bytes=0-1",
        "if-none-match": b'"a", W/"b"',
        "authorization": b"Bearer t0k3n",
        "if-range": b'"r"',
    }


@pytest.mark.parametrize("message", [SIMPLE, RICH, BODY, CHUNKED])
def test_byte_by_byte_gives_what_the_whole_gives(message: bytes) -> None:
    whole = parse_all(_testing.Parser(), [message])
    cut = parse_all(_testing.Parser(), [bytes([b]) for b in message])
    assert len(whole) == 1
    assert cut == whole


@pytest.mark.parametrize("at", range(1, len(RICH + SIMPLE)))
def test_two_pipelined_requests_split_anywhere(at: int) -> None:
    stream = RICH + SIMPLE
    whole = parse_all(_testing.Parser(), [stream])
    assert len(whole) == 2
    assert parse_all(_testing.Parser(), [stream[:at], stream[at:]]) == whole


@given(st.lists(st.integers(1, 40), max_size=30))
def test_any_cutting_gives_the_same_requests(cuts: list[int]) -> None:
    stream = SIMPLE + BODY + RICH + CHUNKED + SIMPLE
    pieces, at = [], 0
    for n in cuts:
        pieces.append(stream[at : at + n])
        at += n
    pieces.append(stream[at:])
    parsed = parse_all(_testing.Parser(), [p for p in pieces if p])
    assert parsed == parse_all(_testing.Parser(), [stream])
    assert len(parsed) == 5


def test_trailing_data_is_left_to_the_next_message() -> None:
    parser = _testing.Parser()
    assert parser.feed(SIMPLE + b"GET /b") == ("complete", len(SIMPLE))
    parser.next_request()
    assert parser.feed(b"GET /b") == ("more", 6)


def test_blank_lines_between_requests_begin_none() -> None:
    parser = _testing.Parser()
    assert parser.feed(b"\r\n\r\n") == ("more", 4)
    assert not parser.head()["begun"]
    assert parse_all(parser, [SIMPLE])[0]["target"] == b"/a"


def test_bodies_are_counted_and_thrown_away() -> None:
    for message in (BODY, CHUNKED):
        (head,) = parse_all(_testing.Parser(), [message])
        assert head["body_bytes"] == 5


TRAILERS = (
    b"Range: bytes=0-1",
    b'If-None-Match: "a"',
    b"Authorization: Bearer other",
    b"Host: other",
    b"Connection: close",
    b"Content-Length: 5",
    b"Upgrade: h2c\r\nConnection: upgrade",
)


@pytest.mark.parametrize("trailer", TRAILERS)
def test_trailers_change_nothing_however_they_are_cut(trailer: bytes) -> None:
    stream = CHUNKED[:-2] + trailer + b"\r\n\r\n"
    plain, _ = parse_all(_testing.Parser(), [CHUNKED + SIMPLE])
    for at in range(1, len(stream)):
        pieces = [stream[:at], stream[at:] + SIMPLE]
        with_trailer, after = parse_all(_testing.Parser(), pieces)
        assert with_trailer == plain
        assert (after["target"], after["status"]) == (b"/a", 0)


def test_trailers_count_against_the_limits_of_the_head() -> None:
    stream = CHUNKED[:-2] + b"A: b\r\n" * 9 + b"\r\n"
    (head,) = parse_all(_testing.Parser(headers=10), [stream])
    assert head["status"] == 431


REFUSED = {
    b"GET /a HTTP/1.1\r\n\r\n": 400,  # no Host
    b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
    b"GET /a HTTP/1.1\r\nHost : a\r\n\r\n": 400,
    b"GET /a HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n": 400,
    b"GET /a HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n": 400,
    b"GET /a HTTP/1.1\nHost: a\n\n": 400,
    b"GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00": 400,
    b"GET /a HTTQ/1.1\r\nHost: a\r\n\r\n": 400,
    b"FETCH /a HTTP/1.1\r\nHost: a\r\n\r\n": 501,
    b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n": 501,
    b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n": 505,
    b"GET /a HTTP/3.1\r\nHost: a\r\n\r\n": 505,
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n": 400,
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n": 400,
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
    b"": 400,
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n": 400,
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n": 400,
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n": 413,
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n": 400,
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    b"Expect: 100-continue\r\n\r\n": 405,
    b"GET /a HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n": 417,
    CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n": 400,
}


@pytest.mark.parametrize(("message", "status"), REFUSED.items())
def test_refusals_have_their_status(message: bytes, status: int) -> None:
    head = parse_all(_testing.Parser(), [message])[-1]
    assert head["status"] == status


MALFORMED_LINES = (
    b"Host: h\r\nX: a\r\n b",
    b"Host: h\r\nX:\r\n a",
    b"Host: h\r\nX: \t\r\n\ta",
    b"Host: h\r\nX:\r\n ",
    b"Host: h\r\nX:\r\n \r\n ",
    b"Host: h\r\nX: a\r\n ",
    b"Host:\r\n h",
    b"Host: h\r\nContent-Length:\r\n 0",
    b"Host: h\r\nConnection:\r\n close",
    b"Host: h\r\n: y",
    b"Host: h\r\n:",
    b": y\r\nHost: h",
    b"Host: h\r\n x: y",
    b" x: y\r\nHost: h",
)


@pytest.mark.parametrize("lines", MALFORMED_LINES)
def test_folded_and_nameless_lines_are_refused_at_every_cut(lines: bytes) -> None:
    stream = b"GET /a HTTP/1.1\r\n" + lines + b"\r\n\r\n"
    for at in range(1, len(stream)):
        (head,) = parse_all(_testing.Parser(), [stream[:at], stream[at:]])
        assert head["status"] == 400
    (head,) = parse_all(_testing.Parser(), [bytes([b]) for b in stream])
    assert head["status"] == 400


def test_a_folded_coding_is_refused_at_every_cut() -> None:
    stream = CHUNKED.replace(b"ing: ", b"ing:\r\n ")
    for at in range(1, len(stream)):
        head = parse_all(_testing.Parser(), [stream[:at], stream[at:]])[0]
        assert head["status"] == 400


def test_empty_values_are_not_folded_at_any_cut() -> None:
    stream = b"GET /a HTTP/1.1\r\nHost:\r\nX: \t\r\nIf-Match:\r\nY:z\r\nZ:\r\n\r\n"
    whole = parse_all(_testing.Parser(), [stream])
    assert whole[0]["status"] == 0
    assert whole[0]["fields"] == {"host": b"", "if-match": b""}
    for at in range(1, len(stream)):
        assert parse_all(_testing.Parser(), [stream[:at], stream[at:]]) == whole
    assert parse_all(_testing.Parser(), [bytes([b]) for b in stream]) == whole


def test_limits_refuse_one_past_and_allow_the_bound() -> None:
    def status(message: bytes, **limits: int) -> int:
        heads = parse_all(_testing.Parser(**limits), [message])
        assert heads, "neither complete nor refused"
        return int(heads[-1]["status"])

    target = b"GET /" + b"a" * 99 + b" HTTP/1.1\r\nHost: h\r\n\r\n"
    assert status(target, target=100) == 0
    assert status(target, target=99) == 414
    many = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 9 + b"\r\n"
    assert status(many, headers=10) == 0
    assert status(many, headers=9) == 431
    big = b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 86 + b"\r\n\r\n"
    assert status(big, header_bytes=100) == 0
    assert status(big, header_bytes=99) == 431
    chunks = CHUNKED.replace(b"5\r\nhello\r\n", b"5\r\nhello\r\n" * 3)
    assert status(chunks, body=15) == 0
    assert status(chunks, body=14) == 413


SPACES = {
    b"GET " + b" " * 60000 + b"/a HTTP/1.1\r\nHost: h\r\n\r\n": 431,
    b"GET /a " + b" " * 60000 + b"HTTP/1.1\r\nHost: h\r\n\r\n": 431,
    b"GET /a " + b" " * 60000 + b"HTTP/1.0\r\n\r\n": 431,
    SIMPLE[:-2] + b"X:" + b" " * 60000 + b"y\r\n\r\n": 431,
    SIMPLE[:-2] + b"X:" + b"\t" * 60000 + b"\r\n\r\n": 431,
    SIMPLE[:-2] + b"X: y" + b" " * 60000 + b"\r\n\r\n": 431,
    CHUNKED[:-5] + b"0;" + b"x" * 600000 + b"\r\n\r\n": 413,
    CHUNKED[:-5] + b"1;x=" + b"y" * 600000 + b"\r\nx\r\n0\r\n\r\n": 413,
    CHUNKED[:-5] + b"0" * 600000 + b"\r\n\r\n": 413,
}


@pytest.mark.parametrize(("stream", "status"), SPACES.items())
@pytest.mark.parametrize("size", [1 << 20, 4096, 1000])
def test_skipped_bytes_are_bounded_however_they_are_cut(
    stream: bytes, status: int, size: int
) -> None:
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [h["status"] for h in parse_all(_testing.Parser(), pieces)] == [status]


def test_lists_that_do_not_fit_are_refused_also_where_nothing_is_added() -> None:
    lines = b'If-Match: "' + b"x" * 7000 + b'"\r\n' + b'If-None-Match: "y"\r\n'
    stream = SIMPLE[:-2] + lines + b"If-Match:\r\nIf-None-Match:\r\nIf-Match:\r\n"
    parser = _testing.Parser(header_bytes=16_000)
    assert [h["status"] for h in parse_all(parser, [stream + b"X: y\r\n"])] == [431]


def test_the_bound_of_a_head_is_the_same_at_every_cut() -> None:
    limits = {"target": 10, "header_bytes": 20}
    for spaces in range(1020, 1033):
        stream = b"GET" + b" " * spaces + b"/ HTTP/1.1\r\nHost: h\r\n\r\n"
        (whole,) = parse_all(_testing.Parser(**limits), [stream])
        assert whole["status"] == (0 if len(stream) - 4 <= 10 + 20 + 1024 else 431)
        for at in range(len(stream) - 30, len(stream)):
            pieces = [stream[:at], stream[at:]]
            (head,) = parse_all(_testing.Parser(**limits), pieces)
            assert head["status"] == whole["status"]


def test_a_body_of_the_largest_size_may_come_in_the_smallest_chunks() -> None:
    chunks = b"1\r\nx\r\n" * 65536 + b"0\r\n\r\n"
    head_only = CHUNKED.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    (head,) = parse_all(_testing.Parser(), [head_only + chunks])
    assert (head["status"], head["body_bytes"]) == (0, 65536)


def test_a_list_on_many_lines_takes_no_more_than_its_length() -> None:
    tag = b'"' + b"t" * 120 + b'"'
    lines = b"".join(b"If-None-Match: " + tag + b" \r\n" for _ in range(98))
    (head,) = parse_all(_testing.Parser(), [SIMPLE[:-2] + lines + b"\r\n"])
    assert head["status"] == 0
    assert head["fields"]["if-none-match"] == b", ".join([tag] * 98)


def test_lists_with_others_between_their_lines() -> None:
    lines = b'If-Match: "a"\r\nIf-None-Match: "b"\r\nRange: bytes=0-1\r\n' * 2
    (head,) = parse_all(_testing.Parser(), [SIMPLE[:-2] + lines + b"\r\n"])
    assert head["fields"]["if-match"] == b'"a", "a"'
    assert head["fields"]["if-none-match"] == b'"b", "b"'


def test_accept_encoding_is_a_list_and_kept_only_where_it_counts() -> None:
    lines = b"Accept-Encoding: br;q=0.5\r\nACCEPT-ENCODING:gzip \r\n"
    message = SIMPLE[:-2] + lines + b"\r\n"
    (head,) = parse_all(_testing.Parser(), [message])
    assert head["fields"]["accept-encoding"] == b"br;q=0.5, gzip"
    (head,) = parse_all(_testing.Parser(negotiates=False), [message])
    assert head["status"] == 0
    assert "accept-encoding" not in head["fields"]


@pytest.mark.parametrize(
    ("version", "lines", "lives"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close", False),
        (b"1.1", b"Connection: CLOSE", False),
        (b"1.1", b"Connection: close\t", False),
        (b"1.1", b"Connection: close\t,foo", False),
        (b"1.1", b"Connection: foo ,\tclose ", False),
        (b"1.1", b"Connection:\tclose", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close", False),
        (b"1.1", b"Connection: close\r\nConnection: keep-alive", False),
        (b"1.1", b"Connection: closed, xclose, clo se", True),
        (b"1.1", b"Connection:", True),
        (b"1.1", b"Connection: ,,", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: foo", False),
        (b"1.0", b"Connection: Keep-Alive\t", True),
        (b"1.0", b"Connection: keep-alive, close", False),
    ],
)
def test_connection_options_at_every_cut(
    version: bytes, lines: bytes, lives: bool
) -> None:
    head = b"GET /a HTTP/" + version + b"\r\nHost: h\r\n" + lines
    head += b"\r\n\r\n" if lines else b"\r\n"
    for at in range(1, len(head)):
        parser = _testing.Parser()
        heads = parse_all(parser, [head[:at], head[at:]])
        assert [h["keep_alive"] for h in heads] == [lives]
        if lives:
            assert parse_all(parser, [SIMPLE])[0]["status"] == 0


def test_a_field_that_came_twice_and_must_not_is_absent() -> None:
    message = SIMPLE[:-2] + b"Range: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n"
    (head,) = parse_all(_testing.Parser(), [message])
    assert "range" not in head["fields"]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_a_status(data: bytes) -> None:
    for head in parse_all(_testing.Parser(), [data]):
        assert head["status"] in (0, 400, 405, 413, 414, 417, 431, 501, 505)
