"""Durations as people write them: ``10s``, ``500ms``, ``2m``, ``1h``, ``2.5``."""

import re
from fractions import Fraction

SECOND_NS = 1_000_000_000
_NS_OF_UNIT = {
    "us": 1_000,
    "ms": 1_000_000,
    "": SECOND_NS,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?) ?([a-z]*)")
DURATION_EXAMPLES = "write it like 10s, 500ms, 2m or 1h (a bare number is seconds)"


def parse_duration(text: str) -> int:
    """Nanoseconds.

    Raises:
        ValueError: not a duration; the message shows valid ones.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or match[2] not in _NS_OF_UNIT:
        raise ValueError(f"{text!r} is not understood; {DURATION_EXAMPLES}")
    value = Fraction(match[1]) * _NS_OF_UNIT[match[2]]
    if value.denominator != 1:
        raise ValueError(f"{text!r} is finer than a nanosecond; {DURATION_EXAMPLES}")
    return int(value)


def format_duration(duration_ns: int) -> str:
    """The coarsest exact spelling; below a microsecond in fractions of one."""
    for unit in ("h", "m", "s", "ms", "us"):
        if duration_ns and duration_ns % _NS_OF_UNIT[unit] == 0:
            return f"{duration_ns // _NS_OF_UNIT[unit]}{unit}"
    whole, rest = divmod(duration_ns, 1000)
    return f"{whole}.{rest:03d}us" if rest else "0s"
