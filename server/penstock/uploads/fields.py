"""Fields of requests that bring bytes: lengths, ranges, the key, what may be replaced.

Pure, and strict: what two readers could understand differently is refused, and the
refusal says what would be right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

import http_sf

from penstock.uploads.model import Head, RefusedError

NUMBER_MAX = 2**63 - 1  # of an offset in a file
KEY_BYTES_MAX = 255
OCTET_STREAM = "application/offset+octet-stream"
_SHOWN_CHARACTERS = 60  # of a wrong value
_DIGITS = re.compile(r"[0-9]+")
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)(?:/([0-9]+))?", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)", re.IGNORECASE)
_BARE_KEY = re.compile(r"[!#-+\--:<-\[\]-~]+")  # visible, without " , ; and backslash
_STRONG_ETAG = re.compile(r'"[!#-~]*"')
_ETAG_EXAMPLE = 'one strong ETag, like "5f3-1a2b", or *'


def refuse(status: int, name: str, text: str, right: str) -> NoReturn:
    raise RefusedError(status, f"{name}: {shown(text)} is not understood; {right}")


def shown(text: str) -> str:
    """As far as it is needed to recognise it, and nothing that a terminal obeys."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return ascii(cut.replace("…", "..."))


def number(head: Head, name: str) -> int | None:
    """Bytes, at most what a file can have."""
    text = head.get(name.lower())
    return None if text is None else _number(name, text)


def _number(name: str, text: str) -> int:
    if not _DIGITS.fullmatch(text):
        refuse(400, name, text, "it is a number of bytes, like 1048576")
    # Compared as text first: Python refuses to read thousands of digits.
    if len(text.lstrip("0")) > 19 or int(text.lstrip("0") or "0") > NUMBER_MAX:
        refuse(400, name, text, f"it is at most {NUMBER_MAX}")
    return int(text.lstrip("0") or "0")


def upload_length(head: Head) -> int | None:
    """Of Upload-Length or its twin of Google's protocol, which may not disagree."""
    one = number(head, "Upload-Length")
    other = number(head, "X-Upload-Content-Length")
    if one is not None and other is not None and one != other:
        raise RefusedError(
            400, "Upload-Length and X-Upload-Content-Length disagree: send one of them"
        )
    return other if one is None else one


def defers_length(head: Head) -> bool:
    """Upload-Defer-Length: the only value that there is, is 1."""
    text = head.get("upload-defer-length")
    if text is not None and text != "1":
        refuse(400, "Upload-Defer-Length", text, "its only value is 1")
    return text is not None


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Half-open; the total is what the request said of it."""

    start: int
    end: int
    total: int | None


def byte_range(head: Head) -> ByteRange | None:
    """Of ``Range: bytes=a-b[/total]``, ``Content-Range: bytes a-b/total``, or both."""
    one, other = _literal_range(head), _content_range(head)
    if one is None or other is None:
        return other if one is None else one
    totals = {one.total, other.total} - {None}
    if (one.start, one.end) != (other.start, other.end) or len(totals) > 1:
        raise RefusedError(400, "Range and Content-Range disagree: send one of them")
    return ByteRange(one.start, one.end, max(totals, default=None))  # type: ignore[type-var]


def _literal_range(head: Head) -> ByteRange | None:
    text = head.get("range")
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    if found is None:
        right = "one range with both ends is: bytes=0-1023, or bytes=0-1023/4096"
        refuse(400, "Range", text, right)
    return _judged("Range", text, found[1], found[2], found[3])


def _content_range(head: Head) -> ByteRange | None:
    text = head.get("content-range")
    if text is None:
        return None
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        right = "one range is: bytes 0-1023/4096; HEAD says what is there"
        refuse(400, "Content-Range", text, right)
    total = None if found[3] == "*" else found[3]
    return _judged("Content-Range", text, found[1], found[2], total)


def _judged(
    name: str, text: str, first: str, last: str, total: str | None
) -> ByteRange:
    start, end = _number(name, first), _number(name, last) + 1
    size = None if total is None else _number(name, total)
    if end > NUMBER_MAX:
        refuse(400, name, text, f"no file has more than {NUMBER_MAX} bytes")
    if start >= end:
        refuse(400, name, text, "it ends before it begins")
    if size is not None and end > size:
        refuse(400, name, text, "it ends behind its own total")
    return ByteRange(start, end, size)


def placed(found: ByteRange | None, length: int) -> tuple[int, int]:
    """Where in an upload of ``length`` bytes; without a range it is all of it.

    Raises:
        RefusedError: 416, with the length as RFC 9110 section 14.4 says it.
    """
    if found is None:
        return (0, length)
    if found.end > length or found.total not in (None, length):
        where = (("Content-Range", f"bytes */{length}"),)
        raise RefusedError(416, f"the upload has {length} bytes", where)
    return (found.start, found.end)


def written_range(start: int, end: int, length: int) -> str:
    """Of Content-Range, which knows no empty one."""
    return f"bytes {start}-{end - 1}/{length}"


def idempotency_key(head: Head) -> str | None:
    """Bare, or quoted as the draft of the field has it."""
    text = head.get("idempotency-key")
    if text is None:
        return None
    key = _quoted(text) if text.startswith('"') else text
    if key is None or not _BARE_KEY.fullmatch(key) or len(key) > KEY_BYTES_MAX:
        # Not shown: it may be a secret with a slip of the pen in it.
        raise RefusedError(
            400, "Idempotency-Key is what the answer to POST said, bare or in quotes"
        )
    return key


def _quoted(text: str) -> str | None:
    try:
        found = http_sf.parse(text.encode("ascii"), tltype="item")
    except ValueError:
        return None
    value = found[0] if isinstance(found, tuple) else found
    return value if isinstance(value, str) else None


def if_match(head: Head) -> str | None:
    """The strong ETag of the file that may be replaced, in its quotes, or ``*``."""
    text = head.get("if-match")
    if text is None or text == "*" or _STRONG_ETAG.fullmatch(text):
        return text
    if text.startswith("W/"):
        raise RefusedError(412, f"If-Match: a weak ETag never matches; {_ETAG_EXAMPLE}")
    refuse(400, "If-Match", text, _ETAG_EXAMPLE)


def refuse_coded(head: Head) -> None:
    """Bytes are stored as they come, and positions are of what is stored."""
    coding = head.get("content-encoding")
    if coding is not None and coding.lower() != "identity":
        raise RefusedError(
            415, f"Content-Encoding: {shown(coding)}: send the bytes as they are"
        )


def has_body(head: Head) -> bool:
    return head.chunked or bool(head.content_length)


def body_bytes(head: Head) -> int | None:
    """None: it is chunked, and known when it has ended."""
    return None if head.chunked else head.content_length or 0


def is_octet_stream(head: Head) -> bool:
    """Whether tus may take the body; parameters say nothing more of it."""
    kind = head.get("content-type") or ""
    return kind.partition(";")[0].strip().lower() == OCTET_STREAM
