"""``[[schedules]]``: caps by day and time of day. Pure functions of schedules and now.

A window belongs to the day on which it begins, also when it ends on the next one.
What a wall time means when the clocks change: see ``calendars``.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationInfo,
    field_validator,
)

from penstock.calendars import (
    DAY_MINUTES,
    DAYS,
    DAYS_EXAMPLES,
    TIME_EXAMPLES,
    ZONE_EXAMPLES,
    format_time_of_day,
    instant_of,
    parse_days,
    parse_time_of_day,
    parse_zone,
)
from penstock.caps import TARGET_EXAMPLES, Cap, Target, lowest
from penstock.fieldtypes import Rate, spelled

SCHEDULES_MAX = 256  # each is looked at whenever one of them may change
TARGETS_MAX = 1000  # that one schedule or quota applies to
_DAYS_BACK = 1  # a window ends at the latest a day after the one on which it begins
_DAYS_AHEAD = 8  # a week and today, so that every window of a week is seen


def _days(value: object) -> tuple[int, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(
        isinstance(word, str) for word in words
    ):
        raise ValueError(f"{spelled(value)} is not a list of days; {DAYS_EXAMPLES}")
    return parse_days(words)


def _time_of_day(value: object) -> int:
    if isinstance(value, str):
        return parse_time_of_day(value)
    raise ValueError(f"{spelled(value)} is not a time of day; {TIME_EXAMPLES}")


def _zone(value: object) -> ZoneInfo:
    if isinstance(value, str):
        return parse_zone(value)
    if isinstance(value, ZoneInfo):
        return value
    raise ValueError(f"{spelled(value)} is not a time zone; {ZONE_EXAMPLES}")


def _targets(value: object) -> tuple[Target, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f'must be a list, like ["default"]; {TARGET_EXAMPLES}')
    if len(value) > TARGETS_MAX:
        raise ValueError(f"at most {TARGETS_MAX} are possible, not {len(value)}")
    found = tuple(_target(text) for text in value)
    for target in found:
        if found.count(target) > 1:
            raise ValueError(f"{target} is listed twice")
    return found


def _target(value: object) -> Target:
    if isinstance(value, str):
        return Target.parse(value)
    raise ValueError(f"{spelled(value)} names nothing; {TARGET_EXAMPLES}")


def _names(days: tuple[int, ...]) -> list[str]:
    return [DAYS[day] for day in days]


def _words(targets: tuple[Target, ...]) -> list[str]:
    return [str(target) for target in targets]


Days = Annotated[tuple[int, ...], BeforeValidator(_days), PlainSerializer(_names)]
TimeOfDay = Annotated[
    int,
    BeforeValidator(_time_of_day),
    PlainSerializer(format_time_of_day, return_type=str),
]
Zone = Annotated[
    InstanceOf[ZoneInfo], BeforeValidator(_zone), PlainSerializer(str, return_type=str)
]
Targets = Annotated[
    tuple[Target, ...], BeforeValidator(_targets), PlainSerializer(_words)
]


class Schedule(BaseModel):
    """Caps ``applies_to`` from one wall time to the other, on the days named."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    applies_to: Targets
    days: Days = tuple(range(len(DAYS)))
    from_minutes: TimeOfDay = Field(0, alias="from")
    to_minutes: TimeOfDay = Field(DAY_MINUTES, alias="to")
    timezone: Zone = ZoneInfo("UTC")
    rate_bps: Rate = Field(alias="rate")

    @field_validator("from_minutes")
    @classmethod
    def _begins_within_a_day(cls, value: int) -> int:
        if value == DAY_MINUTES:
            raise ValueError("24:00 begins no window: write 00:00 of the next day")
        return value

    @field_validator("to_minutes")
    @classmethod
    def _has_a_length(cls, value: int, info: ValidationInfo) -> int:
        if value == info.data.get("from_minutes"):
            raise ValueError(
                f"{format_time_of_day(value)} is where it begins, too; the whole day "
                "is from 00:00 to 24:00"
            )
        return value


def _schedules(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) <= SCHEDULES_MAX:
        return tuple(value)
    raise ValueError(
        f"must be a list of at most {SCHEDULES_MAX}: begin each with [[schedules]]"
    )


Schedules = Annotated[tuple[Schedule, ...], BeforeValidator(_schedules)]


def spans(schedule: Schedule, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Windows that may hold ``now``, and those of the week to come; begin and end,
    UTC, in order. Two that touch are one."""
    zone = schedule.timezone
    today = now.astimezone(zone).date()
    over_midnight = schedule.to_minutes < schedule.from_minutes
    to_minutes = schedule.to_minutes + (DAY_MINUTES if over_midnight else 0)
    begin = end = datetime.min.replace(tzinfo=UTC)
    for ahead in range(-_DAYS_BACK, _DAYS_AHEAD + 1):
        day = today + timedelta(days=ahead)
        if day.weekday() not in schedule.days:
            continue
        first = instant_of(day, schedule.from_minutes, zone)
        if first > end:
            if begin < end:
                yield begin, end
            begin = first
        end = instant_of(day, to_minutes, zone)
    if begin < end:
        yield begin, end


def caps_at(schedules: Sequence[Schedule], now: datetime) -> dict[Target, Cap]:
    """What holds at ``now``: of each target the lowest rate."""
    holding = (
        {target: Cap(s.rate_bps, "schedule") for target in s.applies_to}
        for s in schedules
        if any(begin <= now < end for begin, end in spans(s, now))
    )
    return lowest(*holding)


def next_change(schedules: Sequence[Schedule], now: datetime) -> datetime | None:
    """The first moment after ``now`` at which a schedule begins or ends; None: in the
    week to come there is none."""
    horizon = now + timedelta(days=_DAYS_AHEAD - 1)
    moments = (
        moment
        for schedule in schedules
        for span in spans(schedule, now)
        for moment in span
        if now < moment <= horizon
    )
    return min(moments, default=None)
