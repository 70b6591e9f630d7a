"""One stream of ``GET /events``, without a socket: what the application sends."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import trio
import trio.testing
from httpx_sse import EventSource

from penstock.admin import make_app
from penstock.control import Control
from tests.control.fakes import FakeEngine


class Told(NamedTuple):
    kind: str
    number: str
    data: dict[str, Any]


class Stream:
    """What comes is kept until it is read; ``hold`` makes it a reader that stops."""

    def __init__(self, path: str, headers: dict[str, str]) -> None:
        path, _, query = path.partition("?")
        fields = {"host": "127.0.0.1:8080", **headers}
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in fields.items()],
        }
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.unread = b""
        self.came = trio.Event()
        self.ended = False
        self.gone = trio.Event()
        self.moving = trio.Event()
        self.moving.set()
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await self.moving.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.chunks.append(message["body"])
            self.came.set()
            self.unread += message["body"]
            self.ended = not message.get("more_body", False)

    def hold(self) -> None:
        self.moving = trio.Event()

    def go_on(self) -> None:
        self.moving.set()

    def read(self) -> list[Told]:
        """The events that came since the last call."""
        content, self.unread = self.unread, b""
        response = httpx.Response(200, headers=self.headers, content=content)
        return [
            Told(event.event, event.id, json.loads(event.data))
            for event in EventSource(response).iter_sse()
            if event.data
        ]


@asynccontextmanager
async def watching(
    control: Control,
    path: str = "/events",
    engines: Sequence[FakeEngine] = (),
    **headers: str,
) -> AsyncIterator[Stream]:
    """Until the block ends, when the reader leaves."""
    app = make_app(control, engines)
    async with opened(app, path, **headers) as stream:
        yield stream


@asynccontextmanager
async def opened(app: Any, path: str, **headers: str) -> AsyncIterator[Stream]:
    stream = Stream(path, {k.replace("_", "-"): v for k, v in headers.items()})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, stream.scope, stream.receive, stream.send)
        await trio.testing.wait_all_tasks_blocked()
        yield stream
        stream.go_on()
        stream.gone.set()
