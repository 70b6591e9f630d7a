"""``GET /events``: in order, from where one left off, and no room for who is slow."""

import time
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Any

import pytest
import trio
import trio.testing
from starlette.types import Receive, Scope, Send
from trio.testing import MockClock, wait_all_tasks_blocked

from penstock.admin import make_app
from penstock.admin_events import HEARTBEAT_S, STREAMS_MAX, frame
from penstock.admin_server import STALLED_TIMEOUT_MS
from penstock.control import Control
from penstock.events import EVENTS_KEPT
from penstock.live_clients import LIVE_ROWS_MAX, LiveClients
from tests.control.api import api
from tests.control.fakerows import FakeRow, FakeServerRow
from tests.control.fakes import FakeClients, FakeEngine, MakeControl
from tests.control.files import rewrite
from tests.control.streams import opened, watching

MB = 10**6


def numbers(control: Control, told: list[Any]) -> list[int]:
    """From 1."""
    return [int(one.number) - control.events.start for one in told]


async def test_a_change_is_told_to_who_watches(make_control: MakeControl) -> None:
    control = make_control()
    async with watching(control) as stream:
        assert (stream.status, stream.headers["content-type"]) == (
            200,
            "text/event-stream",
        )
        assert stream.headers["cache-control"] == "no-store"
        control.set_limit("user_123", 5)
        await wait_all_tasks_blocked()
        [told] = stream.read()
        assert (told.kind, numbers(control, [told])) == ("limit", [1])
        assert told.data["subject"] == "client:user_123"
        assert told.data["rate_bps"] == 5


async def test_who_comes_hears_what_is_yet_to_come(make_control: MakeControl) -> None:
    control = make_control()
    control.events.publish("limit", "server")
    async with watching(control) as stream:
        assert stream.read() == []


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/events?after=0", {}, [1, 2, 3]),
        ("/events?after={2}", {}, [3]),
        ("/events?after={3}", {}, []),
        ("/events", {"last_event_id": "{1}"}, [2, 3]),
        ("/events", {"last_event_id": "{0}"}, [1, 2, 3]),
        ("/events?after=0", {"last_event_id": "{2}"}, [3]),
        ("/events?after=0", {"last_event_id": "nonsense"}, [1, 2, 3]),
        ("/events?after=0", {"last_event_id": "9" * 30}, [1, 2, 3]),
    ],
)
async def test_who_comes_back_goes_on_where_it_was(
    make_control: MakeControl, path: str, headers: dict[str, str], expected: list[int]
) -> None:
    control = make_control()
    for _ in range(3):
        control.events.publish("limit", "server")
    known = [control.events.start + i for i in range(4)]
    headers = {name: value.format(*known) for name, value in headers.items()}
    async with watching(control, path.format(*known), **headers) as stream:
        assert numbers(control, stream.read()) == expected


@pytest.mark.parametrize("seen", [1, 77, 10**15 - 1])
@pytest.mark.parametrize("count", [0, 3, EVENTS_KEPT + 5])
async def test_who_comes_from_the_process_before_learns_that_it_missed_something(
    make_control: MakeControl, seen: int, count: int
) -> None:
    control = make_control()
    for _ in range(count):
        control.events.publish("limit", "server")
    async with watching(control, last_event_id=str(seen)) as stream:
        lost, *rest = stream.read()
        kept = min(count, EVENTS_KEPT)
        assert (lost.kind, lost.data["why"]) == ("lost", "restart")
        assert lost.data["events"] == count - kept, "of this process"
        assert len(rest) == kept
        last = int(rest[-1].number if rest else lost.number)
    async with watching(control, last_event_id=str(last)) as stream:
        assert stream.read() == []


def test_the_events_of_a_later_process_have_higher_numbers(
    make_control: MakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_control().events
    for _ in range(2 * EVENTS_KEPT):
        before.publish("limit", "server")
    later_ns = time.time_ns() + 3 * 10**9
    monkeypatch.setattr("penstock.events.time.time_ns", lambda: later_ns)
    assert before.last < make_control().events.start < 2**53


async def test_all_that_are_kept_is_what_was_asked_for(
    make_control: MakeControl,
) -> None:
    control = make_control()
    for _ in range(EVENTS_KEPT + 5):
        control.events.publish("limit", "server")
    async with watching(control, "/events?after=0") as stream:
        assert len(stream.read()) == EVENTS_KEPT
        stream.hold()
        for _ in range(EVENTS_KEPT + 5):
            control.events.publish("limit", "server")
            await wait_all_tasks_blocked()
        stream.go_on()
        await wait_all_tasks_blocked()
        assert "lost" in {told.kind for told in stream.read()}


async def test_a_reader_that_stops_holds_one_chunk_and_learns_what_it_missed(
    make_control: MakeControl,
) -> None:
    control = make_control()
    control.events.publish("limit", "server")
    async with watching(control) as stream:
        stream.hold()
        for _ in range(3):
            control.events.publish("limit", "server")
            await wait_all_tasks_blocked()
        for _ in range(2 * EVENTS_KEPT):
            control.events.publish("limit", "server")
        sent = len(stream.chunks)
        stream.go_on()
        await wait_all_tasks_blocked()
        assert len(stream.chunks) == sent + 2, "the one that waited, and all the rest"
        first, lost, *rest = stream.read()
        assert numbers(control, [first]) == [2]
        assert (lost.kind, lost.data["subject"]) == ("lost", "server")
        assert (lost.data["events"], lost.data["why"]) == (EVENTS_KEPT + 2, "too_late")
        assert numbers(control, rest) == list(
            range(EVENTS_KEPT + 5, 2 * EVENTS_KEPT + 5)
        )


async def test_silence_is_broken_now_and_then(
    make_control: MakeControl, autojump_clock: MockClock
) -> None:
    async with watching(make_control()) as stream:
        await trio.sleep(2 * HEARTBEAT_S + 0.1)
        assert stream.chunks == [b":\n\n"] * 2


async def test_a_stream_ends_with_the_server_and_says_all_before(
    make_control: MakeControl,
) -> None:
    control = make_control()
    async with watching(control) as stream:
        control.events.publish("config", "server")
        control.events.close()
        await wait_all_tasks_blocked()
        assert stream.ended
        assert numbers(control, stream.read()) == [1]


async def test_a_reader_that_left_gives_its_seat_back(
    make_control: MakeControl,
) -> None:
    app = make_app(make_control(), [])
    async with trio.open_nursery() as nursery:
        left = trio.Event()

        async def watch() -> None:
            async with opened(app, "/events") as stream:
                assert stream.status == 200
                await left.wait()

        for _ in range(STREAMS_MAX):
            nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        async with opened(app, "/events") as stream:
            assert stream.status == 503
        left.set()
        await wait_all_tasks_blocked()
        async with opened(app, "/events") as stream:
            assert stream.status == 200


async def test_a_reader_that_takes_nothing_loses_its_seat(
    make_control: MakeControl, autojump_clock: MockClock
) -> None:
    """Whatever is between it and the stream, like a window of HTTP/2."""
    control = make_control()
    app = make_app(control, [])
    async with AsyncExitStack() as several:
        for _ in range(STREAMS_MAX):
            stream = await several.enter_async_context(opened(app, "/events"))
            stream.hold()
        control.events.publish("limit", "server")
        await trio.sleep(STALLED_TIMEOUT_MS / 1000 - 0.1)
        async with opened(app, "/events") as stream:
            assert stream.status == 503
        await trio.sleep(0.2)
        async with opened(app, "/events") as stream:
            assert (stream.status, stream.ended) == (200, False)


async def test_http_2_is_refused(make_control: MakeControl) -> None:
    app = make_app(make_control(), [])

    async def in_http_2(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "http_version": "2"}, receive, send)

    async with opened(in_http_2, "/events") as stream:
        assert (stream.status, stream.ended) == (505, True)


async def test_events_are_guarded_as_all_else(make_control: MakeControl) -> None:
    digest = sha256(b"secret").hexdigest()
    control = make_control(f'[admin]\ntoken_sha256 = "{digest}"')
    refused: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer secret", "host": "evil.example"}, 403),
        ({"authorization": "Bearer secret", "origin": "http://evil.example"}, 403),
    ]
    for headers, status in refused:
        async with watching(control, **headers) as stream:
            assert (stream.status, stream.ended) == (status, True)
    async with watching(control, authorization="Bearer secret") as stream:
        assert (stream.status, stream.ended) == (200, False)


async def test_another_token_ends_the_streams_of_the_one_before(
    make_control: MakeControl,
) -> None:
    def asks_for(token: str, rate: int) -> str:
        digest = sha256(token.encode()).hexdigest()
        return f'[admin]\ntoken_sha256 = "{digest}"\n[clients.a]\nrate = {rate}'

    control = make_control(asks_for("old", 1))
    async with watching(control, authorization="Bearer old") as stream:
        rewrite(control, asks_for("old", 2))
        control.reload()
        await wait_all_tasks_blocked()
        assert not stream.ended
        stream.read()
        rewrite(control, asks_for("new", 3))
        control.reload()
        await wait_all_tasks_blocked()
        assert stream.ended
        assert stream.read() == []
    async with watching(control, authorization="Bearer new") as stream:
        assert (stream.status, stream.ended) == (200, False)


async def test_an_event_has_one_line_of_data_whatever_it_says() -> None:
    assert (
        frame("limit", {"subject": "client:a\nid: 7\r\u2028ü"}, 1)
        == (
            'id: 1\nevent: limit\ndata: {"subject":"client:a\\nid: 7\\r\u2028ü"}\n\n'
        ).encode()
    )


async def test_clients_come_with_what_they_were_sent_and_what_holds(
    make_control: MakeControl, clients: FakeClients, engine: FakeEngine
) -> None:
    control = make_control("[shaping]\ntotal_rate = 9")
    clients.rows["a"] = FakeRow("a", bytes_total=7, rate_bps=5, mean_bps=3, group="g")
    async with watching(control, "/events?clients=true", [engine]) as stream:
        with trio.fail_after(10):
            await stream.came.wait()
        [told] = stream.read()
    assert (told.kind, told.number) == ("clients", "")
    async with api(control, engine) as client:
        server = (await client.get("/server")).json()
    assert told.data["server"] == server
    assert (server["rate_bps"], server["effective_bps"]) == (9, 9)
    assert (server["mean_bps"], server["clients"], server["state"]) == (
        3,
        1,
        "starting",
    )
    assert (told.data["engines"], told.data["sent_bps"]) == (1, None)
    assert told.data["clients"] == [
        {
            "client_id": "a",
            "rate_bps": 5,
            "effective_bps": None,
            "mean_bps": 3,
            "limited_by": "none",
            "transfers": 0,
            "parked": 0,
            "group": "g",
            "breaker": "closed",
            "sent_bps": None,
        }
    ]


class Watched:
    """A ``LiveClients`` whose clock is set by hand."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, live: LiveClients, engine: FakeEngine
    ) -> None:
        self.now_s = 100.0
        self.live = live
        self.engine = engine
        monkeypatch.setattr("penstock.live_clients.time.monotonic", lambda: self.now_s)


@pytest.fixture
def watched(
    monkeypatch: pytest.MonkeyPatch, make_control: MakeControl, engine: FakeEngine
) -> Watched:
    return Watched(monkeypatch, LiveClients(make_control(), [engine]), engine)


async def test_rates_are_of_the_time_between_two_looks(
    watched: Watched, clients: FakeClients
) -> None:
    clients.rows = {"a": FakeRow("a", bytes_total=10 * MB), "b": FakeRow("b")}
    with watched.live.watching():
        await watched.live.data()
        clients.rows = {
            "a": FakeRow("a", bytes_total=12 * MB),
            "b": FakeRow("b", bytes_total=3 * MB),
            "new": FakeRow("new", bytes_total=MB),
        }
        clients.server_row = FakeServerRow(bytes_total=6 * MB)
        watched.now_s += 2
        data = await watched.live.data()
        sent = {c["client_id"]: c["sent_bps"] for c in data["clients"]}
        assert list(sent.items()) == [("b", 1.5 * MB), ("a", MB), ("new", 0.5 * MB)]
        assert data["sent_bps"] == 3 * MB
        # A row that had another client meanwhile.
        clients.rows["b"] = FakeRow("b", bytes_total=5)
        watched.now_s += 1
        data = await watched.live.data("b")
        assert [c["sent_bps"] for c in data["clients"]] == [0]


async def test_all_who_watch_share_one_look_at_the_table(
    watched: Watched, clients: FakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    snapshot = clients.snapshot
    monkeypatch.setattr(clients, "snapshot", lambda: looks.append(1) or snapshot())
    with watched.live.watching():
        await watched.live.data()
        await watched.live.data("x")
        watched.now_s += 0.4
        await watched.live.data()
        assert len(looks) == 1
        watched.now_s += 0.6
        await watched.live.data()
        assert len(looks) == 2
    with watched.live.watching():
        assert (await watched.live.data())["sent_bps"] is None
        assert len(looks) == 3, "nothing is kept while nobody watches"


async def test_of_many_clients_the_busiest_come_and_others_can_be_found(
    watched: Watched, clients: FakeClients
) -> None:
    rows = [FakeRow(f"c{i}", mean_bps=i, group="Night") for i in range(200)]
    clients.rows = {row.client_id: row for row in [*rows, FakeRow("quiet")]}
    data = await watched.live.data()
    assert [c["client_id"] for c in data["clients"]] == [
        f"c{199 - i}" for i in range(LIVE_ROWS_MAX)
    ]
    assert (data["total_rows"], data["found_rows"]) == (201, 201)
    found = await watched.live.data("QUI")
    assert [c["client_id"] for c in found["clients"]] == ["quiet"]
    assert (found["total_rows"], found["found_rows"]) == (201, 1)
    assert (await watched.live.data("night"))["found_rows"] == 200
