"""``GET /events`` of a real process: live, resumable, and never held up by a reader."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent, connect_sse

from tests.serving import Client, Server, request

US = "127.0.0.1"
EVENTS = 900  # of about 180 bytes: more than may wait unsent
STALLED_S = 10.0
START = ("--cpus", "0")


@contextmanager
def watching(server: Server, query: str = "", **headers: str) -> Iterator[EventSource]:
    with (
        httpx.Client(timeout=10, trust_env=False) as client,
        connect_sse(
            client, "GET", f"{server.admin}/events{query}", headers=headers
        ) as source,
    ):
        yield source


def limit(server: Server, client_id: str, bps: int) -> None:
    server.ask("/config", {"client_id": client_id, "target_bps": bps})


def of_kind(events: Iterator[ServerSentEvent], kind: str) -> Any:
    return next(event.json() for event in events if event.event == kind)


def test_a_limit_is_told_and_who_comes_back_misses_nothing(
    start: Callable[..., Server],
) -> None:
    server = start(*START)
    with watching(server) as source:
        assert source.response.headers["content-type"] == "text/event-stream"
        limit(server, "a", 1)
        event = next(source.iter_sse())
    assert (event.event, event.json()["subject"]) == ("limit", "client:a")
    for bps in (2, 3):
        limit(server, "a", bps)
    with watching(server, "?after=0", **{"last-event-id": event.id}) as source:
        events = source.iter_sse()
        assert [next(events).json()["rate_bps"] for _ in range(2)] == [2, 3]


def test_a_download_shows_with_its_rate_and_what_limits_it(
    start: Callable[..., Server],
) -> None:
    server = start(*START, "--client-rate", "500kB/s")
    with server.client() as client, watching(server, "?clients=true") as source:
        client.send(request("/big"))
        client.fill()
        events = source.iter_sse()
        deadline = time.monotonic() + 10
        rows: list[Any] = []
        while not rows or not rows[0]["sent_bps"]:
            assert time.monotonic() < deadline
            rows = of_kind(events, "clients")["clients"]
        [row] = rows
        assert (row["client_id"], row["rate_bps"]) == (US, 500_000)
        assert (row["transfers"], row["group"]) == (1, None)
        client.reset()


@contextmanager
def stopped_reader(server: Server) -> Iterator[Client]:
    """Of more events than fit into the sockets."""
    for i in range(EVENTS):
        limit(server, f"client-{i % 9}", i + 1)
    reader = Client(urlsplit(server.admin).port or 0, rcvbuf=4096)
    with reader:
        reader.send(b"GET /events?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while b"\r\n\r\n" not in reader.buffer:
            assert reader.fill()
        assert reader.buffer.startswith(b"HTTP/1.1 200 ")
        yield reader


def connected(server: Server, reader: Client) -> bool:
    """Whether the server still has its side of the connection."""
    ends = [urlsplit(server.admin).port, reader.sock.getsockname()[1]]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    found = ([int(end[9:], 16) for end in line.split()[1:3]] for line in lines)
    return ends in list(found)


def resident_bytes(server: Server) -> int:
    return int(server.status()["process"]["rss_bytes"])


@pytest.mark.slow
def test_a_reader_that_stops_is_cut_and_holds_no_memory(
    start: Callable[..., Server],
) -> None:
    server = start(*START)
    with stopped_reader(server) as reader:
        server.wait("the stream", lambda: connected(server, reader))
        began, before = time.monotonic(), resident_bytes(server)
        for i in range(EVENTS):
            limit(server, "client-0", i + 1)
        server.wait("the cut", lambda: not connected(server, reader), 2 * STALLED_S)
        assert time.monotonic() - began > STALLED_S / 2
        assert resident_bytes(server) - before < 8 << 20


def test_a_server_with_streams_ends_at_once_and_ends_them_well(
    start: Callable[..., Server],
) -> None:
    server = start(*START)
    with watching(server) as source, watching(server, "?clients=true") as other:
        server.extra["may_exit"] = True
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 2
        # Chunked: an end that was not said would be an error.
        assert list(source.iter_sse()) == []
        assert all(event.event == "clients" for event in other.iter_sse())


def test_a_reader_that_stops_does_not_keep_a_server_from_its_end(
    start: Callable[..., Server],
) -> None:
    server = start(*START)
    with stopped_reader(server):
        server.extra["may_exit"] = True
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < STALLED_S / 2


def test_top_prints_the_clients_once_into_a_pipe(start: Callable[..., Server]) -> None:
    server = start(*START, "--client-rate", "500kB/s")
    with server.client() as client:
        client.send(request("/big"))
        client.fill()
        command = [sys.executable, "-m", "penstock", "top", "--admin", server.admin]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, "")
        [server_line, _, row] = done.stdout.splitlines()
        assert server_line.startswith("serving: ")
        assert row.startswith(US)
        assert " 500 kB/s " in row
        client.reset()
