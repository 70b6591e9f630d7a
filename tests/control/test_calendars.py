"""Wall times and zones: one instant each, also where the clocks change."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, strategies as st

from penstock.calendars import (
    format_time_of_day,
    instant_of,
    parse_days,
    parse_time_of_day,
    parse_zone,
    period_end,
    period_start,
)

MINUTE = timedelta(minutes=1)
# Zones whose clocks change at midnight, by half an hour, southern, by a whole day, and
# one that never does.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Asia/Kathmandu",
    "UTC",
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def instant(day: str, wall: str, zone: str) -> str:
    found = instant_of(date.fromisoformat(day), parse_time_of_day(wall), ZoneInfo(zone))
    assert found.tzinfo is UTC
    return found.strftime("%Y-%m-%d %H:%M")


@cache
def clocks(day: date, zone: str) -> list[tuple[datetime, datetime]]:
    """Every minute from three days before to three days after: UTC, and the wall."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=3)
    minutes = [start + i * MINUTE for i in range(6 * 24 * 60)]
    return [(m, m.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for m in minutes]


@pytest.mark.parametrize(
    ("day", "wall", "zone", "when"),
    [
        ("2026-07-01", "12:00", "Europe/Berlin", "2026-07-01 10:00"),
        # The clocks jump from 2:00 to 3:00: what is left out is the jump.
        ("2026-03-29", "01:59", "Europe/Berlin", "2026-03-29 00:59"),
        ("2026-03-29", "02:00", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-03-29", "02:30", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-03-29", "03:00", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-03-29", "03:01", "Europe/Berlin", "2026-03-29 01:01"),
        # From 3:00 back to 2:00: what comes twice is its first.
        ("2026-10-25", "02:00", "Europe/Berlin", "2026-10-25 00:00"),
        ("2026-10-25", "02:30", "Europe/Berlin", "2026-10-25 00:30"),
        ("2026-10-25", "03:00", "Europe/Berlin", "2026-10-25 02:00"),
        # No midnight on that day.
        ("2026-03-29", "00:00", "Asia/Beirut", "2026-03-28 22:00"),
        ("2026-03-29", "00:30", "Asia/Beirut", "2026-03-28 22:00"),
        # Midnight comes twice, and 23:30 does.
        ("2026-11-01", "00:00", "America/Havana", "2026-11-01 04:00"),
        ("2026-04-04", "23:30", "America/Santiago", "2026-04-05 02:30"),
        ("2026-04-04", "24:00", "America/Santiago", "2026-04-05 04:00"),
        # Half an hour is left out.
        ("2026-10-04", "02:15", "Australia/Lord_Howe", "2026-10-03 15:30"),
        # Samoa went over the date line: a whole day is left out.
        ("2011-12-30", "00:00", "Pacific/Apia", "2011-12-30 10:00"),
        ("2011-12-30", "12:00", "Pacific/Apia", "2011-12-30 10:00"),
        ("2011-12-30", "24:00", "Pacific/Apia", "2011-12-30 10:00"),
        # Leap days.
        ("2028-02-28", "24:00", "UTC", "2028-02-29 00:00"),
        ("2028-02-29", "24:00", "UTC", "2028-03-01 00:00"),
        ("2100-02-28", "24:00", "UTC", "2100-03-01 00:00"),
    ],
)
def test_a_wall_time_is_the_first_moment_at_which_it_is_reached(
    day: str, wall: str, zone: str, when: str
) -> None:
    assert instant(day, wall, zone) == when


CHANGES = [
    date(2026, 3, 28),
    date(2026, 3, 29),
    date(2026, 4, 4),
    date(2026, 4, 5),
    date(2026, 4, 24),
    date(2026, 9, 6),
    date(2026, 10, 4),
    date(2026, 10, 25),
    date(2026, 10, 29),
    date(2026, 11, 1),
    date(2026, 6, 15),
    date(2011, 12, 29),
    date(2011, 12, 30),
]


@given(st.sampled_from(CHANGES), st.sampled_from(ZONES), st.integers(0, 1440))
def test_an_instant_is_what_watching_the_clock_minute_by_minute_finds(
    day: date, zone: str, minutes: int
) -> None:
    wall = datetime(day.year, day.month, day.day) + minutes * MINUTE
    watched = next(moment for moment, shown in clocks(day, zone) if shown >= wall)
    assert instant_of(day, minutes, ZoneInfo(zone)) == watched


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (["mon"], (0,)),
        (["Mon", "SUN"], (0, 6)),
        (["mon-fri"], (0, 1, 2, 3, 4)),
        (["fri-mon"], (0, 4, 5, 6)),
        (["sat - sun", "wed"], (2, 5, 6)),
        (["tue-tue"], (1,)),
    ],
)
def test_days_are_names_and_ranges(words: list[str], days: tuple[int, ...]) -> None:
    assert parse_days(words) == days


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "names no day"),
        (["monday"], "'monday' is not a day of mon, tue"),
        (["mon-"], "'mon-' is not a day"),
        (["mon-fri", "wed"], "wed is listed twice"),
    ],
)
def test_wrong_days_are_explained(words: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_days(words)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("00:00", 0), ("06:30", 390), ("23:59", 1439), ("24:00", 1440)],
)
def test_a_time_of_day_is_hours_and_minutes(text: str, minutes: int) -> None:
    assert parse_time_of_day(text) == minutes
    assert format_time_of_day(minutes) == text


@pytest.mark.parametrize(
    "text", ["24:01", "25:00", "12:60", "6:30", "0630", "", "-1:00"]
)
def test_what_no_clock_shows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time of day"):
        parse_time_of_day(text)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Europe/Berlyn", "did you mean 'Europe/Berlin'"),
        ("Europe", "is not a time zone"),
        ("", "is not a time zone"),
        ("../../etc/passwd", "is not a time zone"),
        ("/etc/localtime", "is not a time zone"),
        ("+01:00", "is not a time zone"),
    ],
)
def test_what_names_no_zone_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_zone(name)


@pytest.mark.parametrize(
    ("now", "zone", "day", "month"),
    [
        ("2026-11-24T12:00", "UTC", "2026-11-24", "2026-11-01"),
        ("2026-11-30T23:30", "Europe/Berlin", "2026-12-01", "2026-12-01"),
        ("2026-12-01T03:00", "America/New_York", "2026-11-30", "2026-11-01"),
        ("2028-02-29T23:59", "UTC", "2028-02-29", "2028-02-01"),
    ],
)
def test_a_period_begins_at_midnight_of_its_zone(
    now: str, zone: str, day: str, month: str
) -> None:
    assert str(period_start(utc(now), "day", ZoneInfo(zone))) == day
    assert str(period_start(utc(now), "month", ZoneInfo(zone))) == month


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(ZONES),
    st.sampled_from(["day", "month"]),
)
@example(datetime(2028, 2, 29, 12, tzinfo=UTC), "UTC", "month")
def test_a_period_ends_where_the_next_one_begins(
    now: datetime, zone: str, per: str
) -> None:
    local, period = ZoneInfo(zone), per
    assert period in ("day", "month")
    start = period_start(now, period, local)  # type: ignore[arg-type]
    end = period_end(start, period, local)  # type: ignore[arg-type]
    assert period_start(end, period, local) > start  # type: ignore[arg-type]
    before = end - timedelta(microseconds=1)
    assert period_start(before, period, local) == start  # type: ignore[arg-type]
