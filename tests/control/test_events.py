"""The log of events: bounded, in order, and never waiting for a reader."""

import math
from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from penstock.errors import PenstockError
from penstock.events import Event, EventLog
from penstock.tree import TreeError
from tests.control.fakes import MakeControl
from tests.control.files import rewrite

NOON = datetime(2026, 11, 27, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def log() -> EventLog:
    return EventLog(kept=4, clock=lambda: NOON)


@given(kept=st.integers(1, 5), published=st.integers(0, 12), seen=st.integers(0, 14))
def test_a_reader_gets_what_it_has_not_seen_as_far_as_it_is_kept(
    kept: int, published: int, seen: int
) -> None:
    log = EventLog(kept)
    for _ in range(published):
        log.publish("limit", "server")
    first = max(seen + 1, published - kept + 1)
    assert [e.number for e in log.after(seen)] == list(range(first, published + 1))


def test_an_event_says_when_and_of_whom_in_what_json_has(log: EventLog) -> None:
    log.publish("limit", "client:a", rate_bps=5, ceil_bps=math.inf, why="x", ok=True)
    [event] = log.after(0)
    assert (event.number, event.kind) == (1, "limit")
    assert event.data() == {
        "time": "2026-11-27T12:00:00.123Z",
        "subject": "client:a",
        "rate_bps": 5,
        "ceil_bps": None,
        "why": "x",
        "ok": True,
    }


async def test_who_waits_is_woken_by_the_next_event(
    log: EventLog, autojump_clock: trio.testing.MockClock
) -> None:
    log.publish("limit", "server")
    seen: list[Event] = []

    async def read() -> None:
        await log.wait_after(log.last)
        seen.extend(log.after(1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.sleep(1)
        assert seen == []
        log.publish("group", "group:g")
    assert [event.kind for event in seen] == ["group"]


async def test_nobody_waits_for_more_when_the_log_is_closed(log: EventLog) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.wait_after, 0)
        await trio.testing.wait_all_tasks_blocked()
        log.close()
    await log.wait_after(0)


def test_every_change_of_a_limit_is_told_with_what_holds(
    make_control: MakeControl,
) -> None:
    control = make_control('[clients.a]\nrate = "1MB/s"')
    group = control.tree.spec("x")._replace(rate_bps=10**6, group=None)
    control.set_group("g", group)
    control.set_limit("a", 5, weight=7, group="g")
    control.drop_client("a")
    control.drop_group("g")
    events = control.events.after(0)
    assert [(e.kind, e.subject) for e in events] == [
        ("group", "group:g"),
        ("limit", "client:a"),
        ("limit", "client:a"),
        ("group", "group:g"),
    ]
    assert events[1].numbers == {
        "rate_bps": 5,
        "ceil_bps": None,
        "min_bps": 0,
        "weight": 7,
        "mode": "off",
        "upload_rate_bps": None,
        "group": "g",
        "source": "api",
        "version": control.version - 2,
    }
    assert events[2].numbers["rate_bps"] == 10**6
    assert events[2].numbers["source"] == "file"
    assert events[3].numbers["dropped"] is True


def test_a_refused_change_is_no_event(make_control: MakeControl) -> None:
    control = make_control()
    with pytest.raises(TreeError, match="min"):
        control.set_limit("a", 5, min_bps=10)
    assert control.events.after(0) == []


def test_reloads_are_told_whether_or_not_they_succeed(
    make_control: MakeControl,
) -> None:
    control = make_control()
    rewrite(control, "[limits]\npipes = 1")
    with pytest.raises(PenstockError, match="restart"):
        control.reload()
    rewrite(control, "[clients.a]\nrate = 3")
    control.reload()
    refused, done = control.events.after(0)
    assert (refused.kind, refused.subject) == (done.kind, done.subject)
    assert refused.numbers == {"result": "refused"}
    assert done.numbers == {"result": "reloaded", "version": control.version}


def test_a_schedule_that_holds_is_told_by_its_cause(make_control: MakeControl) -> None:
    text = '[[schedules]]\napplies_to = ["server", "client:a"]\nrate = 9\n[clients.a]'
    events = make_control(text).events.after(0)
    assert [(e.kind, e.subject, e.numbers) for e in events] == [
        ("schedule", "server", {"cap_bps": 9}),
        ("schedule", "client:a", {"cap_bps": 9}),
    ]
