"""Schedules: what holds when, by the clocks of the zone they name."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from penstock.calendars import DAYS, format_time_of_day, instant_of
from penstock.caps import Cap, Target
from penstock.schedules import Schedule, caps_at, next_change, spans
from tests.control.test_calendars import ZONES, utc

SERVER = Target("server")


def schedule(**keys: Any) -> Schedule:
    return Schedule.model_validate({"applies_to": ["server"], "rate": 1000, **keys})


def holds(one: Schedule, now: str) -> bool:
    return bool(caps_at([one], utc(now)))


NIGHT = schedule(**{"from": "22:00", "to": "06:00", "timezone": "Europe/Berlin"})


@pytest.mark.parametrize(
    ("now", "held"),
    [
        ("2026-07-01T19:59:59", False),
        ("2026-07-01T20:00:00", True),  # 22:00 in Berlin
        ("2026-07-01T22:00:00", True),  # midnight
        ("2026-07-02T03:59:59", True),
        ("2026-07-02T04:00:00", False),
        ("2026-12-01T20:00:00", False),  # winter: 21:00
        ("2026-12-01T21:00:00", True),
    ],
)
def test_a_window_over_midnight_holds_from_the_evening_to_the_morning(
    now: str, held: bool
) -> None:
    assert holds(NIGHT, now) is held


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = schedule(**{"days": ["fri"], "from": "22:00", "to": "06:00"})
    assert holds(night, "2026-11-27T23:00")  # a Friday
    assert holds(night, "2026-11-28T05:59")
    assert not holds(night, "2026-11-27T05:00")
    assert not holds(night, "2026-11-28T22:00")


def test_a_whole_day_is_held_to_its_end_and_days_that_touch_are_one() -> None:
    weekend = schedule(days="sat-sun")
    assert not holds(weekend, "2026-11-27T23:59:59")
    assert holds(weekend, "2026-11-28T00:00")
    assert holds(weekend, "2026-11-28T23:59:59")
    assert holds(weekend, "2026-11-29T00:00")
    assert not holds(weekend, "2026-11-30T00:00")
    assert next_change([weekend], utc("2026-11-28T12:00")) == utc("2026-11-30T00:00")


def test_a_window_of_one_day_comes_again_after_a_week() -> None:
    monday = schedule(**{"days": "mon", "from": "10:00", "to": "11:00"})
    now, again = utc("2026-11-23T11:00"), utc("2026-11-30T10:00")
    assert next_change([monday], now) == again
    assert next_change([monday], again - timedelta(seconds=1)) == again
    assert next_change([monday], again) == utc("2026-11-30T11:00")


def test_a_whole_week_never_changes() -> None:
    always = schedule()
    assert holds(always, "2026-11-28T12:00")
    assert next_change([always], utc("2026-11-28T12:00")) is None
    assert next_change([], utc("2026-11-28T12:00")) is None


@pytest.mark.parametrize(
    ("start", "end", "begins", "ends"),
    [
        # Berlin's 2:00 to 3:00 is left out on that day.
        ("01:30", "02:30", "2026-03-29T00:30", "2026-03-29T01:00"),
        ("02:30", "04:00", "2026-03-29T01:00", "2026-03-29T02:00"),
        ("22:00", "06:00", "2026-03-28T21:00", "2026-03-29T04:00"),
        # It comes twice on this one.
        ("02:00", "03:00", "2026-10-25T00:00", "2026-10-25T02:00"),
        ("02:15", "02:45", "2026-10-25T00:15", "2026-10-25T00:45"),
        ("22:00", "02:30", "2026-10-24T20:00", "2026-10-25T00:30"),
    ],
)
def test_a_window_at_a_change_of_the_clocks(
    start: str, end: str, begins: str, ends: str
) -> None:
    window = schedule(**{"from": start, "to": end, "timezone": "Europe/Berlin"})
    begin, close = utc(begins), utc(ends)
    assert (begin, close) in list(spans(window, begin))
    second = timedelta(seconds=1)
    held = [
        bool(caps_at([window], moment))
        for moment in (begin - second, begin, close - second, close)
    ]
    assert held == [False, True, True, False]


def test_a_window_that_is_left_out_never_holds() -> None:
    gone = schedule(**{"from": "02:10", "to": "02:50", "timezone": "Europe/Berlin"})
    assert not any(
        begin.date() == date(2026, 3, 29)
        for begin, _ in spans(gone, utc("2026-03-29T00:00"))
    )


def test_a_leap_day_has_its_weekday() -> None:
    tuesday = schedule(days=["tue"])
    assert holds(tuesday, "2028-02-29T12:00")
    assert not holds(tuesday, "2028-03-01T00:00")


def test_of_several_that_hold_the_lowest_rate_wins_for_each_target() -> None:
    both = [
        schedule(applies_to=["server", "client:a"], rate=3000),
        schedule(applies_to=["server", "group:g"], rate=2000),
        schedule(applies_to=["default"], rate=1000, days=["sun"]),
    ]
    assert caps_at(both, utc("2026-11-24T12:00")) == {
        SERVER: Cap(2000, "schedule"),
        Target("client", "a"): Cap(3000, "schedule"),
        Target("group", "g"): Cap(2000, "schedule"),
    }


windows = st.builds(
    lambda days, begin, length, zone: schedule(
        **{
            "days": [DAYS[d] for d in days],
            "from": format_time_of_day(begin),
            "to": format_time_of_day((begin + length) % 1440),
            "timezone": zone,
        }
    ),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1439),
    st.sampled_from(ZONES),
)
moments = st.one_of(
    st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.builds(
        lambda day, minutes: utc(day) + timedelta(minutes=minutes),
        st.sampled_from(["2026-03-28", "2026-10-24", "2011-12-29", "2026-11-01"]),
        st.integers(0, 4 * 1440),
    ),
)


@given(st.lists(windows, max_size=4), moments)
def test_nothing_changes_before_the_next_change(
    several: list[Schedule], now: datetime
) -> None:
    change = next_change(several, now) or now + timedelta(days=7)
    assert change > now
    held = caps_at(several, now)
    between = [now + (change - now) * part / 7 for part in range(7)]
    between.append(change - timedelta(microseconds=1))
    assert all(caps_at(several, moment) == held for moment in between)


@given(windows, moments)
def test_one_window_begins_or_ends_at_its_next_change(
    one: Schedule, now: datetime
) -> None:
    change = next_change([one], now)
    if change is not None:
        assert caps_at([one], change) != caps_at([one], now)


@given(st.integers(0, 1438), st.integers(1, 1439), st.sampled_from(ZONES), moments)
def test_two_windows_that_meet_on_the_wall_fill_the_day_without_overlap(
    first: int, length: int, zone: str, now: datetime
) -> None:
    begin, end = sorted((first, (first + length) % 1440))
    here, there = format_time_of_day(begin), format_time_of_day(end)
    day = schedule(**{"from": here, "to": there, "timezone": zone})
    rest = schedule(**{"from": there, "to": here, "timezone": zone})
    assert bool(caps_at([day], now)) != bool(caps_at([rest], now))


@given(windows, moments)
def test_a_window_holds_exactly_between_the_instants_of_its_wall_times(
    one: Schedule, now: datetime
) -> None:
    """Looks at ten days around, not only at those that can matter."""
    today = now.astimezone(one.timezone).date()
    after = 1440 if one.to_minutes <= one.from_minutes else 0
    held = False
    for offset in range(-10, 11):
        day = today + timedelta(days=offset)
        if day.weekday() in one.days:
            begin = instant_of(day, one.from_minutes, one.timezone)
            end = instant_of(day, one.to_minutes + after, one.timezone)
            held = held or begin <= now < end
    assert bool(caps_at([one], now)) is held


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"from": "24:00"}, "24:00 begins no window"),
        ({"from": "06:00", "to": "06:00"}, "06:00 is where it begins, too"),
        ({"from": 6}, "6 is not a time of day"),
        ({"days": 1}, "1 is not a list of days"),
        ({"days": ["mon", 2]}, "is not a list of days"),
        ({"timezone": "Mars/Phobos"}, "'Mars/Phobos' is not a time zone"),
        ({"timezone": 1}, "1 is not a time zone"),
        ({"rate": 0}, "0 bytes per second is not from 1"),
        ({"applies_to": []}, "must be a list"),
        ({"applies_to": "server"}, "must be a list"),
        ({"applies_to": [1]}, "1 names nothing"),
        ({"applies_to": ["clients"]}, "'clients' names nothing"),
        ({"applies_to": ["client:"]}, "a client id has 1 to 64 bytes"),
        ({"applies_to": ["server", "server"]}, "server is listed twice"),
        ({"applies_to": ["client:2001:db8::1", "client:2001:db8::2"]}, "listed twice"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_explained(
    keys: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        schedule(**keys)


def test_a_schedule_is_shown_as_the_file_spells_it() -> None:
    keys = {
        "applies_to": ["client:a", "default"],
        "days": ["mon", "tue"],
        "from": "22:00",
        "to": "24:00",
        "timezone": "Europe/Berlin",
        "rate": "5MB/s",
    }
    shown = Schedule.model_validate(keys).model_dump(mode="json", by_alias=True)
    assert shown == keys
    assert Schedule.model_validate(keys).timezone is ZoneInfo("Europe/Berlin")
