"""What clients do right now, once a second, for those who watch.

One look at the table serves all of them, and nobody looks while nobody watches.
"""

import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from penstock.admin_views import server_view, without_zero
from penstock.control import Control
from penstock.events import rfc3339
from penstock.facade import EngineHandle

if TYPE_CHECKING:
    from penstock._engine import ClientRow

LIVE_PERIOD_S = 1.0
LIVE_ROWS_MAX = 50
# Who asks again so soon sees the same: a rate over less would mean little.
_FRESH_S = 0.5
_SHOWN = """client_id rate_bps effective_bps mean_bps limited_by transfers parked
    group breaker""".split()


class Sending(NamedTuple):
    """
    Args:
        sent_bps: bytes per second since the look before; None: there was none.
    """

    row: "ClientRow"
    sent_bps: int | None

    def rank(self) -> tuple[int, int, str]:
        return (self.sent_bps or 0, self.row.mean_bps, self.row.client_id)


class Look(NamedTuple):
    """At all clients, and at the server, as ``GET /server`` shows it."""

    time: datetime
    server: dict[str, Any]
    sent_bps: int | None
    engines: int
    clients: list[Sending]

    def data(self, find: str = "") -> dict[str, Any]:
        """Those who are sent most, of those whose id or group has ``find`` in it."""
        found = [c for c in self.clients if _has(c.row, find.casefold())]
        best = heapq.nlargest(LIVE_ROWS_MAX, found, key=Sending.rank)
        return {
            "time": rfc3339(self.time),
            "server": self.server,
            "sent_bps": self.sent_bps,
            "engines": self.engines,
            "clients": [_shown(client) for client in best],
            "total_rows": len(self.clients),
            "found_rows": len(found),
        }


def _has(row: "ClientRow", folded: str) -> bool:
    return (
        not folded
        or folded in row.client_id.casefold()
        or folded in (row.group or "").casefold()
    )


def _shown(client: Sending) -> dict[str, Any]:
    shown = {name: getattr(client.row, name) for name in _SHOWN}
    return {**without_zero(shown), "sent_bps": client.sent_bps}


class _Before(NamedTuple):
    """Bytes sent at a look, by the monotonic clock."""

    at_s: float
    total: int
    clients: dict[str, int]


class LiveClients:
    def __init__(self, control: Control, engines: Sequence[EngineHandle]) -> None:
        self._control = control
        self._engines = engines
        self._turn = trio.Lock()
        self._watchers = 0
        self._before: _Before | None = None
        self._look: Look | None = None
        self._shown: dict[str, dict[str, Any]] = {}  # of the look, by what was sought

    @contextmanager
    def watching(self) -> Iterator[None]:
        """As long as somebody is, the bytes of all clients are kept in memory."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._before = self._look = None
                self._shown = {}

    async def data(self, find: str = "") -> dict[str, Any]:
        """See ``Look.data``; in another thread: many rows take milliseconds."""
        async with self._turn:
            return await trio.to_thread.run_sync(self._data, find)

    def _data(self, find: str) -> dict[str, Any]:
        if self._look is None or not self._is_fresh():
            self._look, self._shown = self._take(), {}
        if find not in self._shown:
            self._shown[find] = self._look.data(find)
        return self._shown[find]

    def _is_fresh(self) -> bool:
        before = self._before
        return before is not None and time.monotonic() - before.at_s < _FRESH_S

    def _take(self) -> Look:
        before, at_s = self._before, time.monotonic()
        rows = self._control.clients.snapshot()
        server = server_view(self._control, self._engines).model_dump(mode="json")
        sent = {row.client_id: row.bytes_total for row in rows}
        now = self._before = _Before(at_s, server["bytes_total"], sent)
        sent_bps = _bps(now.total, before.total, at_s - before.at_s) if before else None
        return Look(
            time=datetime.now(UTC),
            server=server,
            sent_bps=sent_bps,
            engines=len(self._engines),
            clients=[Sending(row, _sent_bps(row, before, at_s)) for row in rows],
        )


def _sent_bps(row: "ClientRow", before: _Before | None, at_s: float) -> int | None:
    """Who was not there before has been sent all since then."""
    if before is None:
        return None
    sent = before.clients.get(row.client_id, 0)
    return _bps(row.bytes_total, sent, at_s - before.at_s)


def _bps(total: int, before: int, seconds: float) -> int:
    """A row that another client had meanwhile counts anew."""
    return round(max(0, total - before) / seconds)
