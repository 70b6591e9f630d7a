import pytest

from perf.errors import PerfError
from perf.load.http import HEAD_BYTES_MAX, get, split_head

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
        assert split_head(RESPONSE[:end]) == (12, end - head_bytes)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 503 200\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "without a Content-Length"),
        (b"x" * (HEAD_BYTES_MAX + 1), "does not end"),
    ],
)
def test_what_is_no_success_of_known_length_is_refused(
    response: bytes, reason: str
) -> None:
    with pytest.raises(PerfError, match=reason):
        split_head(response)
