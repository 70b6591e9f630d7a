"""Sets of byte positions as half-open ranges: in order, disjoint, never adjacent.

Pure functions of immutable tuples; what they return is in that form again.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise

Span = tuple[int, int]  # [start, end), never empty
Spans = tuple[Span, ...]


def add(spans: Spans, start: int, end: int) -> Spans:
    """With ``[start, end)``, which may be empty."""
    if start >= end:
        return spans
    first = bisect_left(spans, start, key=lambda span: span[1])
    beyond = bisect_right(spans, end, key=lambda span: span[0])
    touched = spans[first:beyond]
    if touched:
        start, end = min(start, touched[0][0]), max(end, touched[-1][1])
    return (*spans[:first], (start, end), *spans[beyond:])


def gaps(spans: Spans, start: int, end: int) -> Spans:
    """What of ``[start, end)`` is not covered."""
    return tuple((a, b) for a, b, covered in pieces(spans, start, end) if not covered)


def pieces(spans: Spans, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """``[start, end)`` cut where covering begins or ends: start, end, covered."""
    if start >= end:
        return
    at = start
    for a, b in spans[bisect_right(spans, start, key=lambda span: span[1]) :]:
        if a >= end:
            break
        if at < a:
            yield at, a, False
        yield max(a, at), min(b, end), True
        at = b
    if at < end:
        yield at, end, False


def covers(spans: Spans, start: int, end: int) -> bool:
    """All of ``[start, end)``; an empty range always."""
    return not gaps(spans, start, end)


def prefix(spans: Spans) -> int:
    """How far it reaches from 0 on without a gap."""
    return spans[0][1] if spans and spans[0][0] == 0 else 0


def reach(spans: Spans) -> int:
    """The end of the last range."""
    return spans[-1][1] if spans else 0


def in_order(spans: Spans) -> bool:
    """Whether they have the form that is kept here."""
    return all(0 <= a < b for a, b in spans) and all(
        left[1] < right[0] for left, right in pairwise(spans)
    )
