"""``GET /events``: what happens, and what clients do, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Annotated, Any

import trio
from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from penstock.admin_models import Reason
from penstock.admin_server import STALLED_TIMEOUT_MS
from penstock.clientids import MAX_CLIENT_ID_BYTES
from penstock.control import Control
from penstock.events import EventLog, rfc3339
from penstock.facade import EngineHandle
from penstock.live_clients import LIVE_PERIOD_S, LiveClients

STREAMS_MAX = 16  # each holds a connection, and what one look of it shows
HEARTBEAT_S = 15.0  # proxies close what is silent for longer
_NUMBER_MAX = 2**53 - 1  # what JavaScript counts exactly
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect it
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, as they happen, until one side ends",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    503: {"model": Reason, "description": f"{STREAMS_MAX} are watching already"},
}


def add_events(app: FastAPI, control: Control, engines: Sequence[EngineHandle]) -> None:
    live = LiveClients(control, engines)
    seats = trio.Semaphore(STREAMS_MAX)

    @app.get("/events", response_class=Response, responses=_ANSWERS)
    async def events(
        after: Annotated[
            int | None,
            Query(ge=0, le=_NUMBER_MAX, description="0: all that are kept"),
        ] = None,
        clients: Annotated[
            bool, Query(description="also what clients do, once a second")
        ] = False,
        find: Annotated[
            str,
            Query(max_length=MAX_CLIENT_ID_BYTES, description="in their id or group"),
        ] = "",
        last_event_id: Annotated[
            str | None, Header(description="of a browser that comes back")
        ] = None,
    ) -> Response:
        at = _number(last_event_id)
        token = control.settings.admin.token_sha256
        return EventStream(
            control.events,
            after if at is None else at,
            live if clients else None,
            find,
            seats,
            lambda: control.settings.admin.token_sha256 == token,
        )


def _number(last_event_id: str | None) -> int | None:
    """None also for what we never sent."""
    text = last_event_id or ""
    known = text.isascii() and text.isdigit() and len(text) < len(str(_NUMBER_MAX))
    return int(text) if known else None


def frame(kind: str, data: Mapping[str, Any], number: int | None = None) -> bytes:
    """One event; JSON has no line ends within."""
    head = "" if number is None else f"id: {number}\n"
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"{head}event: {kind}\ndata: {text}\n\n".encode()


class EventStream(Response):
    """A response that goes on until the peer leaves or the log is closed, or another
    token is asked for than the one it began with.

    It holds a place in the log, and what is being sent: whoever reads slowly misses
    events, and whoever stops reading is cut: by the kernel (``admin_server``), and
    here, so that nothing in between can hold the seat.

    Args:
        after: the event that was seen last; None: begin with the next one.
        live: for what clients do; None: only events.
        find: which of them.
        seats: for how many at once.
        may_see: whether the peer still may.
    """

    def __init__(
        self,
        log: EventLog,
        after: int | None,
        live: LiveClients | None,
        find: str,
        seats: trio.Semaphore,
        may_see: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._log = log
        self._at, self._is_of_another = _place(log, after)
        self._live = live
        self._find = find
        self._seats = seats
        self._may_see = may_see

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._seats.acquire_nowait()
        except trio.WouldBlock:
            reason = f"{STREAMS_MAX} are watching already"
            await JSONResponse({"detail": reason}, 503)(scope, receive, send)
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_wait_until_gone, receive, nursery.cancel_scope)
                with suppress(trio.TooSlowError):
                    await self._stream(_in_time(send))
                nursery.cancel_scope.cancel()
        finally:
            self._seats.release()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        with nullcontext() if self._live is None else self._live.watching():
            await self._send_events(send)
        await _send(send, self._news() if self._may_see() else b"", more=False)

    async def _send_events(self, send: Send) -> None:
        period_s = HEARTBEAT_S if self._live is None else LIVE_PERIOD_S
        due = trio.current_time() if self._live is not None else _next(period_s)
        while not self._log.closed and self._may_see():
            chunk = self._news()
            if trio.current_time() >= due:
                chunk += await self._beat()
                due = _next(period_s)
            if chunk:
                await _send(send, chunk)
            with trio.move_on_at(due):
                await self._log.wait_after(self._at)

    def _news(self) -> bytes:
        events = self._log.after(self._at)
        kept_after = events[0].number - 1 if events else self._at
        missed = kept_after - self._at
        frames = [frame(event.kind, event.data(), event.number) for event in events]
        if missed or self._is_of_another:
            frames.insert(0, self._lost(missed, kept_after))
        self._at = self._log.last
        self._is_of_another = False
        return b"".join(frames)

    def _lost(self, missed: int, number: int) -> bytes:
        said = {"time": rfc3339(self._log.clock()), "subject": "server"}
        why = "restart" if self._is_of_another else "too_late"
        return frame("lost", {**said, "events": missed, "why": why}, number)

    async def _beat(self) -> bytes:
        if self._live is None:
            return b":\n\n"
        return frame("clients", await self._live.data(self._find))


def _place(log: EventLog, after: int | None) -> tuple[int, bool]:
    """Where to begin, and whether ``after`` is of another process: of that nothing is
    known, so all is told."""
    if after is None:
        return log.last, False
    if after == 0:
        return log.lost, False
    return (after, False) if log.knows(after) else (log.start, True)


def _next(period_s: float) -> float:
    """All streams share their moments, and so what is looked up for them."""
    return (trio.current_time() // period_s + 1) * period_s


def _in_time(send: Send) -> Send:
    """Raises trio.TooSlowError."""

    async def send_in_time(message: Message) -> None:
        with trio.fail_after(STALLED_TIMEOUT_MS / 1000):
            await send(message)

    return send_in_time


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _wait_until_gone(receive: Receive, stream: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.cancel()
