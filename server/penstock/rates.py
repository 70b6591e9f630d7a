"""Rates and sizes as people write them: ``5MB/s``, ``40Mbit/s``, ``64KiB``, ``1000``.

``k``, ``M`` and ``G`` are powers of 1000, ``Ki``, ``Mi`` and ``Gi`` powers of 1024.
The arithmetic is exact: what is not a whole number of bytes is refused.
"""

import re
from fractions import Fraction

MAX_RATE_BPS = 10**12  # the engine's own bound; a test holds them together

MAX_BURST_BYTES = 10**12  # a second of the largest rate

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_PREFIXES = {**_DECIMAL, "K": 10**3, **_BINARY}
_BYTES_OF_UNIT = {f"{p}B": Fraction(n) for p, n in _PREFIXES.items()} | {
    f"{p}bit": Fraction(n, 8) for p, n in _PREFIXES.items()
}
# 18 digits hold every accepted value; the bound keeps hostile numbers cheap.
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]*)")
RATE_EXAMPLES = "write it like 5MB/s, 40Mbit/s or 5242880 (bytes per second)"
SIZE_EXAMPLES = "write it like 64KiB, 1MB or 65536 (bytes)"


def parse_rate(text: str) -> int:
    """Bytes per second, 1 to ``MAX_RATE_BPS``; ``/s`` may be left out.

    Raises:
        ValueError: not a rate; the message shows valid ones.
    """
    quantity = text.strip().removesuffix("/s")
    return check_rate(_parse_quantity(quantity, text, RATE_EXAMPLES))


def check_rate(rate_bps: int) -> int:
    """``rate_bps`` itself.

    Raises:
        ValueError: outside of 1 to ``MAX_RATE_BPS``.
    """
    if not 1 <= rate_bps <= MAX_RATE_BPS:
        raise ValueError(
            f"{rate_bps} bytes per second is not from 1 to {MAX_RATE_BPS}; "
            f"{RATE_EXAMPLES}"
        )
    return rate_bps


def parse_size(text: str) -> int:
    """Bytes.

    Raises:
        ValueError: not a size; the message shows valid ones.
    """
    return _parse_quantity(text.strip(), text, SIZE_EXAMPLES)


def format_rate(rate_bps: int) -> str:
    """The shortest exact spelling that ``parse_rate`` reads back as ``rate_bps``."""
    spellings = [
        f"{rate_bps // factor}{prefix}B/s"
        for prefix, factor in (*_DECIMAL.items(), *_BINARY.items())
        if rate_bps % factor == 0
    ]
    return min(spellings, key=len)


def round_rate(rate_bps: float) -> str:
    """In three digits, for people: ``4.98 MB/s``."""
    value, prefix = float(rate_bps), ""
    for larger in ("k", "M", "G", "T"):
        if value < 999.5:
            break
        value, prefix = value / 1000, larger
    text = f"{value:#.3g}".rstrip(".") if prefix else f"{value:.0f}"
    return f"{text} {prefix}B/s"


def _parse_quantity(quantity: str, text: str, examples: str) -> int:
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{text!r} is not understood; {examples}")
    number, unit = match.groups()
    value = Fraction(number) * _bytes_of_unit(unit, text, examples)
    if value.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of bytes; {examples}")
    return int(value)


def _bytes_of_unit(unit: str, text: str, examples: str) -> Fraction:
    if not unit:
        return Fraction(1)
    if unit in _BYTES_OF_UNIT:
        return _BYTES_OF_UNIT[unit]
    if re.fullmatch("[kKmMgGtT]i?b(ps)?", unit):
        prefix = unit[0].upper()
        raise ValueError(
            f"{text!r} could mean bits or bytes: say {prefix}B or {prefix}bit"
        )
    raise ValueError(f"{text!r} has an unknown unit {unit!r}; {examples}")
