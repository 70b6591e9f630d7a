"""What judges a shaper, from the bytes that each client received in slots of time."""

from collections.abc import Sequence
from statistics import fmean, median, pstdev

SLOTS_PER_SECOND = 10


def figures(slots: Sequence[Sequence[int]], rate_bps: int) -> dict[str, float]:
    """What judges a shaper, from the bytes of each download in slots of 100 ms."""
    seconds = len(slots[0]) / SLOTS_PER_SECOND
    means = [sum(row) / seconds for row in slots]
    fine = [jitter_percent(row) for row in slots]
    coarse = [jitter_percent(whole_seconds(row)) for row in slots]
    return {
        "error_percent": 100 * fmean(abs(m - rate_bps) for m in means) / rate_bps,
        "sum_error_percent": 100 * (fmean(means) - rate_bps) / rate_bps,
        "jitter_percent": median(fine),
        "jitter_p99_percent": p99(fine),
        "jitter_1s_percent": median(coarse),
        "jitter_1s_p99_percent": p99(coarse),
        "jain_index": jain_index(means),
    }


def whole_seconds(row: Sequence[int]) -> list[int]:
    """Ten slots of 100 ms added up; what is left at the end is no whole second."""
    whole = len(row) - len(row) % SLOTS_PER_SECOND
    return [
        sum(row[i : i + SLOTS_PER_SECOND]) for i in range(0, whole, SLOTS_PER_SECOND)
    ]


def jitter_percent(row: Sequence[int]) -> float:
    """Standard deviation over mean; a download that got nothing is as bad as can be:
    all in one slot (sqrt(n - 1))."""
    mean = fmean(row)
    if mean == 0:
        return float(100 * (len(row) - 1) ** 0.5)
    return float(100 * pstdev(row) / mean)


def p99(values: Sequence[float]) -> float:
    """The nearest rank: 99 of 100 are not above it."""
    return sorted(values)[-(-99 * len(values) // 100) - 1]


def jain_index(means: Sequence[float]) -> float:
    """1 when all are equal, 1/n when one has everything (Jain, Chiu, Hawe, 1984)."""
    squares = sum(mean * mean for mean in means)
    return sum(means) ** 2 / (len(means) * squares) if squares else 0.0


def share_error_percent(got: Sequence[float], weights: Sequence[float]) -> float:
    """By how much the worst client's part of the sum misses its part by weight."""
    total, whole = sum(got), sum(weights)
    if total == 0:
        return 100.0
    parts = [(g / total) / (w / whole) for g, w in zip(got, weights, strict=True)]
    return 100 * max(abs(part - 1.0) for part in parts)


REACHED = 0.9
SMOOTHED_SLOTS = 3
"""Of so many, this one in their middle, the mean is looked at, because one slot may be
shorter than the time between two quanta. So what changes at once is found up to one
slot late."""


def reached_ms(
    rates: Sequence[float],
    slot_seconds: float,
    event_seconds: float,
    before: float,
    after: float,
) -> float | None:
    """How long after the event a rate had gone nine tenths of its way, to the end of
    the slot; None when it never did."""
    side = SMOOTHED_SLOTS // 2
    for slot in range(int(event_seconds / slot_seconds), len(rates)):
        mean = fmean(rates[max(0, slot - side) : slot + side + 1])
        if (mean - before) / (after - before) >= REACHED:
            return 1e3 * ((slot + 1) * slot_seconds - event_seconds)
    return None
