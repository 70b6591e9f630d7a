"""``ClientRanking`` over rows in memory."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from penstock.exposition import series
from penstock.ranking import ClientSums

METRICS = """target_bps effective_bps weight bytes_total mean_bps requests_total
    transfers parked adaptive_bps controller_bps breaker_bps""".split()
LIMITS = {"target_bps", "effective_bps"}
LIMITS |= {"adaptive_bps", "controller_bps", "breaker_bps"}
OWN_PACE = {"none", "peer"}


class FakeRanking:
    def __init__(self, rows: Sequence[Any], most: int) -> None:
        self._unseen = list(rows)
        self._seen: list[Any] = []
        self._most = most

    @property
    def kept(self) -> int:
        return min(len(self._seen), self._most)

    def look(self, rows: int) -> bool:
        self._seen += self._unseen[:rows]
        del self._unseen[:rows]
        return bool(self._unseen)

    def series(self, name: str, metric: str, first: int, rows: int) -> bytes:
        best = ranked(self._seen)[: self._most][first : first + rows]
        return "".join(
            series(name, number(row, metric), client_id=row.client_id) for row in best
        ).encode()

    def series_limited_by(self, name: str, first: int, rows: int) -> bytes:
        best = ranked(self._seen)[: self._most][first : first + rows]
        return "".join(
            series(name, 1, client_id=row.client_id, limited_by=row.limited_by)
            for row in best
        ).encode()

    def series_jitter(self, name: str, first: int, rows: int) -> bytes:
        best = ranked(self._seen)[: self._most][first : first + rows]
        return "".join(
            series(name, row.jitter_ratio, client_id=row.client_id)
            for row in best
            if row.jitter_ratio is not None
        ).encode()

    @property
    def worst_jitter(self) -> float | None:
        return worst([row for row in self._seen if row.limited_by not in OWN_PACE])

    def best(self) -> ClientSums:
        return summed(ranked(self._seen)[: self._most])

    def others(self) -> ClientSums:
        return summed(ranked(self._seen)[self._most :])


def ranked(rows: Sequence[Any]) -> list[Any]:
    """Sorting is stable: among equals, older rows come first."""
    return sorted(rows, key=lambda row: (-row.bytes_total, row.source == "default"))


def number(row: Any, metric: str) -> float:
    """A limit that there is not is infinite."""
    value: float = getattr(row, metric)
    return math.inf if metric in LIMITS and value == 0 else value


def summed(rows: Sequence[Any]) -> ClientSums:
    return ClientSums(
        clients=len(rows),
        numbers={name: sum(number(row, name) for row in rows) for name in METRICS},
        limited_by=dict(Counter(row.limited_by for row in rows)),
        jitter=worst(rows),
    )


def worst(rows: Sequence[Any]) -> float | None:
    known = [row.jitter_ratio for row in rows if row.jitter_ratio is not None]
    return max(known, default=None)
