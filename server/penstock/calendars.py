"""Days, times of day and time zones as people write them, and the instants they mean.

A wall time stands for one instant: the first at which the clocks of its zone show it
or something later. So a time that a change of the clocks leaves out is the moment of
the change, one that comes twice is its first, and spans that meet on the wall meet in
time: nothing is counted twice or not at all.
"""

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # as date.weekday() counts
DAY_MINUTES = 24 * 60
DAYS_EXAMPLES = 'write them like ["mon", "wed-fri"] or "sat-sun"'
TIME_EXAMPLES = 'write it like "06:30"; 24:00 is the end of the day'
ZONE_EXAMPLES = 'write it like "Europe/Berlin" or "UTC"'
Per = Literal["day", "month"]

_TIME = re.compile(r"([0-9]{2}):([0-9]{2})")
_SECOND = timedelta(seconds=1)


def parse_days(words: Iterable[str]) -> tuple[int, ...]:
    """Weekdays in order, 0 = Monday; a range may go over the end of the week.

    Raises:
        ValueError: no day, one twice, or an unknown one.
    """
    days: list[int] = []
    for word in words:
        first, dash, last = word.strip().lower().partition("-")
        low = _day(first, word)
        length = (_day(last, word) - low) % len(DAYS) if dash else 0
        days += [(low + i) % len(DAYS) for i in range(length + 1)]
    if not days:
        raise ValueError(f"names no day; {DAYS_EXAMPLES}")
    for day in days:
        if days.count(day) > 1:
            raise ValueError(f"{DAYS[day]} is listed twice")
    return tuple(sorted(days))


def _day(name: str, word: str) -> int:
    if name.strip() not in DAYS:
        raise ValueError(f"{word!r} is not a day of {', '.join(DAYS)}; {DAYS_EXAMPLES}")
    return DAYS.index(name.strip())


def parse_time_of_day(text: str) -> int:
    """Minutes since midnight on the wall, 0 to ``DAY_MINUTES``.

    Raises:
        ValueError: not a time of day; the message shows valid ones.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time of day; {TIME_EXAMPLES}")
    hours, minutes = int(match[1]), int(match[2])
    if minutes > 59 or 60 * hours + minutes > DAY_MINUTES:
        raise ValueError(f"{text!r} is not a time of day; {TIME_EXAMPLES}")
    return 60 * hours + minutes


def format_time_of_day(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def parse_zone(name: str) -> ZoneInfo:
    """A time zone of the IANA database: the system's, else that of ``tzdata``.

    Raises:
        ValueError: there is none of this name; the message shows a similar one.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a bad key, a folder, no such zone
        near = difflib.get_close_matches(name, sorted(available_timezones()), n=1)
        hint = f"did you mean {near[0]!r}?" if near else ZONE_EXAMPLES
        raise ValueError(f"{name!r} is not a time zone; {hint}") from None


def instant_of(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """When it is first ``minutes`` after midnight of ``day`` on the wall; UTC."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall_at(instant, zone) == wall:
        return instant
    return _jump_over(wall, zone, instant)


def _wall_at(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _jump_over(wall: datetime, zone: ZoneInfo, after: datetime) -> datetime:
    """The moment at which the clocks jump over ``wall``. PEP 495: in a gap, fold=1
    reads it with the offset of after the jump, which is an instant before it."""
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while after - before > _SECOND:  # offsets change at whole seconds
        middle = before + (after - before) // 2 // _SECOND * _SECOND
        if _wall_at(middle, zone) < wall:
            before = middle
        else:
            after = middle
    return after


def period_start(now: datetime, per: Per, zone: ZoneInfo) -> date:
    """First day of the day or month that ``now`` is in, by the clocks of ``zone``."""
    day = now.astimezone(zone).date()
    return day if per == "day" else day.replace(day=1)


def period_end(start: date, per: Per, zone: ZoneInfo) -> datetime:
    """When the period that begins on ``start`` ends and the next one begins, UTC."""
    following = start + timedelta(days=1)
    if per == "month":
        following = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    return instant_of(following, 0, zone)
