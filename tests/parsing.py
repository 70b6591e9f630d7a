"""Bytes for the parser adapter, and what it makes of them."""

from __future__ import annotations

from typing import Any

SIMPLE = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = (
    b"POST /u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n"
)


def parse_all(parser: Any, pieces: list[bytes]) -> list[dict[str, Any]]:
    """Feed every piece; collect the head of each complete message."""
    heads = []
    for piece in pieces:
        left = piece
        while left:
            result, used = parser.feed(left)
            left = left[used:]
            if result == "complete":
                heads.append(parser.head())
                parser.next_request()
            elif result == "refused":
                return [*heads, parser.head()]
    return heads
