"""Enforcement: a policy holds while an alert that it names fires, and no longer."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from penstock.caps import Cap, Target
from penstock.enforcement import (
    ALERTS_MAX,
    RESOLVED_MAX,
    Alert,
    Change,
    Enforcement,
    _Said,
)
from penstock.policies import Policy
from tests.control.test_calendars import utc
from tests.control.test_policies import ALERT, policy

NOON = utc("2026-11-24T12:00")
SERVER = Target("server")
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
CALM = policy(rate=1000)


def fires(fingerprint: str = "f", *, at: datetime = NOON, **keys: Any) -> Alert:
    return Alert(
        fingerprint,
        keys.get("labels", ALERT),
        starts_at=at,
        ends_at=keys.get("ends_at"),
        fires=keys.get("fires", True),
    )


def resolved(
    fingerprint: str = "f", *, at: datetime = NOON, ends_at: datetime | None = None
) -> Alert:
    return fires(fingerprint, at=at, ends_at=ends_at, fires=False)


def told(*alerts: Alert, now: datetime = NOON, **policies: Any) -> Enforcement:
    enforcement = Enforcement(policies or {"calm": CALM})
    enforcement.notify(alerts, now)
    return enforcement


def state(enforcement: Enforcement) -> list[tuple[str, datetime, list[str]]]:
    return [
        (one.name, one.until, [a.fingerprint for a in one.alerts])
        for one in enforcement.active()
    ]


def test_an_alert_that_fires_caps_and_one_that_is_resolved_does_not() -> None:
    enforcement = Enforcement({"calm": CALM})
    done = enforcement.notify([fires()], NOON)
    assert done.result == "changed"
    assert done.changes == [Change("calm", CALM, True, "fired")]
    assert enforcement.caps(lambda _: 0) == {SERVER: Cap(1000, "policy")}
    done = enforcement.notify([resolved()], NOON + SECOND)
    assert done.changes == [Change("calm", CALM, False, "resolved")]
    assert enforcement.caps(lambda _: 0) == {}
    assert enforcement.next_end() is None


def test_what_concerns_nobody_changes_nothing() -> None:
    enforcement = Enforcement({"calm": CALM})
    done = enforcement.notify([fires(labels={"alertname": "Other"})], NOON)
    assert (done.result, done.policies, done.changes) == ("unmatched", [], [])
    assert enforcement.notify([], NOON).result == "unmatched"
    assert enforcement.active() == []
    assert enforcement.notified["unmatched"] == 2


@pytest.mark.parametrize("status", [fires, resolved])
def test_what_is_said_twice_changes_nothing_the_second_time(status: Any) -> None:
    enforcement = told(fires("other"), fires())
    first = enforcement.notify([status()], NOON + SECOND)
    before = state(enforcement)
    second = enforcement.notify([status()], NOON + SECOND)
    assert second.result == "unchanged"
    assert state(enforcement) == before
    assert first.policies == second.policies == ["calm"]


def test_it_holds_until_the_last_of_several_alerts_is_resolved() -> None:
    enforcement = told(fires("a"), fires("b"))
    assert enforcement.notify([resolved("a")], NOON).changes == []
    assert enforcement.is_active("calm")
    enforcement.notify([resolved("b")], NOON)
    assert not enforcement.is_active("calm")


def test_that_an_earlier_time_is_over_does_not_end_the_present_one() -> None:
    enforcement = told(fires(at=NOON - HOUR))
    enforcement.notify([fires(at=NOON)], NOON)
    enforcement.notify([resolved(at=NOON - HOUR)], NOON)
    assert enforcement.is_active("calm")
    enforcement.notify([resolved(at=NOON)], NOON)
    assert not enforcement.is_active("calm")


@pytest.mark.parametrize(("began_s", "goes_on"), [(7, False), (60, False), (100, True)])
def test_an_end_counts_for_what_began_before_it(began_s: int, goes_on: bool) -> None:
    enforcement = told(fires(at=NOON + began_s * SECOND))
    enforcement.notify([resolved(at=NOON, ends_at=NOON + 60 * SECOND)], NOON)
    assert enforcement.is_active("calm") is goes_on


@pytest.mark.parametrize(
    ("began_s", "said_s", "holds"),
    [(0, 14, False), (0, 15, True), (7, 14, False), (8, 1, True), (0, -1, True)],
)
def test_what_is_said_late_of_a_resolved_alert_is_no_news(
    began_s: int, said_s: int, holds: bool
) -> None:
    """``said_s`` after the end: by another Alertmanager, or because it is so."""
    enforcement = told(fires(at=NOON + 7 * SECOND))
    end = resolved(at=NOON, ends_at=NOON + 20 * SECOND)
    enforcement.notify([end], NOON)
    late = fires(at=NOON + began_s * SECOND)
    enforcement.notify([late], NOON + said_s * SECOND)
    assert enforcement.is_active("calm") is holds


def test_of_resolved_alerts_the_last_hundred_are_remembered() -> None:
    enforcement = told(*(resolved(f"f{i}") for i in range(RESOLVED_MAX + 1)))
    enforcement.notify([fires("f1")], NOON)
    assert not enforcement.is_active("calm")
    enforcement.notify([fires("f0")], NOON)
    assert enforcement.is_active("calm")


def test_of_one_notification_only_what_it_comes_to_is_a_change() -> None:
    enforcement = told(fires("a"))
    assert enforcement.notify([resolved("a"), fires("b")], NOON).changes == []
    assert state(enforcement) == [("calm", NOON + HOUR, ["b"])]


def test_an_alert_that_is_never_resolved_ends_unless_it_is_said_again() -> None:
    enforcement = told(fires())
    assert enforcement.next_end() == NOON + HOUR
    assert enforcement.expire(NOON + HOUR - SECOND) == []
    enforcement.notify([fires()], NOON + HOUR - SECOND)
    assert enforcement.expire(NOON + HOUR) == []
    ended = enforcement.expire(NOON + 2 * HOUR - SECOND)
    assert ended == [Change("calm", CALM, False, "expired")]
    assert enforcement.next_end() is None


def test_an_end_that_was_said_is_kept() -> None:
    enforcement = told(fires(ends_at=NOON + 5 * SECOND))
    assert enforcement.next_end() == NOON + 5 * SECOND
    ended = enforcement.expire(NOON + 5 * SECOND)
    assert ended == [Change("calm", CALM, False, "resolved")]
    assert not told(fires(ends_at=NOON)).is_active("calm"), "it was over"


def test_an_end_that_is_over_can_be_said_to_be_later() -> None:
    enforcement = told(fires(ends_at=NOON))
    enforcement.notify([fires(ends_at=NOON + SECOND)], NOON)
    assert enforcement.is_active("calm")


def test_a_resolved_alert_is_over_whatever_the_clocks_say() -> None:
    enforcement = told(fires())
    enforcement.notify([resolved(ends_at=NOON + HOUR)], NOON)
    assert not enforcement.is_active("calm")


def test_a_clock_that_is_set_back_lengthens_nothing() -> None:
    enforcement = told(fires())
    enforcement.expire(NOON - 24 * HOUR)
    assert enforcement.next_end() == NOON - 23 * HOUR


def test_the_lowest_of_several_policies_counts() -> None:
    enforcement = told(
        fires(),
        half=policy(scale=0.5, applies_to=["server", "default"]),
        other=policy(alert="Other", rate=1),
        fixed=policy(rate=30),
    )
    assert enforcement.caps(lambda _: 100) == {
        SERVER: Cap(30, "policy"),
        Target("default"): Cap(50, "policy"),
    }
    assert [name for name, _, _ in state(enforcement)] == ["half", "fixed"]


def test_a_reload_undoes_what_is_gone_or_is_met_by_others() -> None:
    gone = policy(rate=1)
    met_by_others = policy(rate=2)
    kept = policy(rate=3)
    enforcement = told(fires(), gone=gone, other=met_by_others, kept=kept)
    changed = policy(rate=4, expires="2h", applies_to=["default"])
    changes = enforcement.configure(
        {"other": policy(rate=2, labels={"site": "b"}), "kept": changed}
    )
    assert changes == [
        Change("gone", gone, False, "removed"),
        Change("other", met_by_others, False, "removed"),
    ]
    assert enforcement.caps(lambda _: 0) == {Target("default"): Cap(4, "policy")}
    assert enforcement.next_end() == NOON + 2 * HOUR


def test_more_alerts_than_fit_replace_those_that_end_first() -> None:
    first = fires("first", ends_at=NOON + SECOND)
    enforcement = told(first, *(fires(f"f{i}") for i in range(ALERTS_MAX)))
    [one] = enforcement.active()
    assert len(one.alerts) == ALERTS_MAX
    assert "first" not in {alert.fingerprint for alert in one.alerts}


def test_room_is_made_once_whatever_the_length_of_a_notification(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[datetime] = []
    until = _Said.until

    def counted(said: _Said, calm: Policy) -> datetime:
        looks.append(until(said, calm))
        return looks[-1]

    monkeypatch.setattr(_Said, "until", counted)
    several = 5 * ALERTS_MAX
    told(*(fires(f"f{i}") for i in range(several)))
    assert len(looks) <= several


def test_what_is_resolved_takes_no_room_from_what_fires() -> None:
    several = range(ALERTS_MAX + ALERTS_MAX // 2)
    over = several[ALERTS_MAX // 2 :]
    enforcement = told(
        *(fires(f"f{i}") for i in several), *(resolved(f"f{i}") for i in over)
    )
    [one] = enforcement.active()
    assert [a.fingerprint for a in one.alerts] == [
        f"f{i}" for i in several[: ALERTS_MAX // 2]
    ]


moments = st.integers(0, 7200).map(lambda seconds: NOON + timedelta(seconds=seconds))
alerts = st.builds(
    Alert,
    st.sampled_from("abc"),
    st.sampled_from([ALERT, {"alertname": "Other"}]),
    moments,
    st.none() | moments,
    st.booleans(),
)
steps = st.lists(st.tuples(moments, st.lists(alerts, max_size=3)), max_size=8)


@given(steps)
def test_changes_tell_what_is_active_and_every_end_is_kept(
    several: list[tuple[datetime, list[Alert]]],
) -> None:
    enforcement = Enforcement({"calm": CALM, "other": policy(alert="Other")})
    active: set[str] = set()
    for now, said in sorted(several, key=lambda step: step[0]):
        changes = enforcement.expire(now) + enforcement.notify(said, now).changes
        for change in changes:
            assert (change.name in active) is not change.active
            active ^= {change.name}
        assert active == {one.name for one in enforcement.active()}
        ends = [a.until for one in enforcement.active() for a in one.alerts]
        assert all(now < until <= now + HOUR for until in ends)
        assert enforcement.next_end() == min(ends, default=None)
    later = NOON + timedelta(days=1)
    assert {change.name for change in enforcement.expire(later)} == active


@given(steps, st.lists(alerts, max_size=3), moments)
def test_a_notification_that_is_repeated_leaves_all_as_it_was(
    before: list[tuple[datetime, list[Alert]]], said: list[Alert], now: datetime
) -> None:
    enforcement = Enforcement({"calm": CALM})
    for _, earlier in before:
        enforcement.notify(earlier, now)
    # Of one alert, one thing: else the last would count, and the first be late.
    once = list({alert.fingerprint: alert for alert in said}.values())
    enforcement.notify(once, now)
    active = enforcement.active()
    assert enforcement.notify(once, now).changes == []
    assert enforcement.active() == active
