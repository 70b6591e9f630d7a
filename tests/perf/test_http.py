import pytest

from perf.errors import PerfError
from perf.load.http import HEAD_BYTES_MAX, Body, get, split_head

RESPONSE = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 12\r\n\r\nbody"


def test_get_is_one_complete_request() -> None:
    assert get("a.bin") == b"GET /a.bin HTTP/1.1\r\nHost: perf\r\n\r\n"


def test_get_carries_the_token() -> None:
    assert b"\r\nAuthorization: Bearer abc\r\n" in get("a.bin", "abc")


def test_head_is_found_at_whatever_byte_it_is_split() -> None:
    head_bytes = RESPONSE.index(b"body")
    for end in range(head_bytes):
        assert split_head(RESPONSE[:end]) is None
    for end in range(head_bytes, len(RESPONSE) + 1):
        parts = split_head(RESPONSE[:end])
        assert parts is not None
        body, got = parts
        assert (body.missing, got) == (12 - got, end - head_bytes)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 503 200\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "without a Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "empty body"),
        (b"x" * (HEAD_BYTES_MAX + 1), "does not end"),
    ],
)
def test_what_is_no_success_of_known_length_is_refused(
    response: bytes, reason: str
) -> None:
    with pytest.raises(PerfError, match=reason):
        split_head(response)


CHUNKS = b"5\r\nhello\r\n1;note=1\r\n!\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(CHUNKS) + 1))
def test_chunks_are_counted_however_they_are_cut(size: int) -> None:
    body = Body(None)
    pieces = [CHUNKS[at : at + size] for at in range(0, len(CHUNKS), size)]
    done = [(body.feed(piece), body.done) for piece in pieces]
    assert sum(count for count, _ in done) == 6
    assert [ended for _, ended in done].index(True) == len(pieces) - 1


def test_bytes_of_a_chunk_may_be_discarded_unseen() -> None:
    body = Body(None)
    assert body.feed(b"a\r\n12") == 2
    body.discarded(body.missing)
    assert not body.done
    assert body.feed(b"\r\n0\r\n\r\n") == 0
    assert body.done


@pytest.mark.parametrize("line", [b"hello\r\n", b"1" * 300])
def test_what_is_no_chunk_size_is_refused(line: bytes) -> None:
    with pytest.raises(PerfError, match="chunk"):
        Body(None).feed(line)
