"""What a client was seen to get and to be allowed, as figures and lines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from perf.results import Timeline

TERMS = ("controller", "breaker", "effective")
"""Of a client's limit; ``TERM_bps`` in GET /clients/ID."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment."""

    seconds: float  # since the downloads began, above 0
    total_bytes: int  # that have arrived by then
    row: Mapping[str, Any]  # GET /clients/ID


def figures(looks: Sequence[Look]) -> dict[str, float]:
    """What never was has no figure."""
    last = looks[-1]
    found = {"mb_per_second": last.total_bytes / 1e6 / last.seconds}
    if rtts := [rtt for look in looks if (rtt := rtt_ms(look))]:
        found["srtt_ms"] = fmean(rtts)
    tripped = (look.seconds for look in looks if look.row["breaker"] != "closed")
    if (first := next(tripped, None)) is not None:
        found["trip_seconds"] = first
    return found


def cuts(metrics: str) -> float:
    """From the text of GET /metrics: how often a controller cut."""
    found = re.findall(
        r'^penstock_feedback_changes_total\{.*kind="controller".*\} (\S+)',
        metrics,
        re.MULTILINE,
    )
    return sum(map(float, found))


def rtt_ms(look: Look) -> float:
    """Smoothed; 0: unknown, as it always is where no controller follows the client."""
    feedback = look.row["feedback"] or {}
    return 1e3 * (feedback.get("srtt_seconds") or 0.0)


def timelines(
    looks: Sequence[Look],
    slot_seconds: float,
    rate_bps: int,
    line_bps: int,
    events: Mapping[str, float],
) -> list[Timeline]:
    """Goodput and each term of the limit, and the RTT where it is known.

    Args:
        looks: one at the end of each slot.
        slot_seconds: between two of them.
        rate_bps: what is drawn for a term that limits nothing: the configured rate.
        line_bps: of the line, as it was at first.
        events: what was done, and in which second.
    """
    lines = {"goodput": [bps / 1e6 for bps in goodput_bps(looks)]}
    for term in TERMS:
        terms = (look.row[f"{term}_bps"] for look in looks)
        lines[term] = [(rate_bps if bps is None else bps) / 1e6 for bps in terms]
    limits = {"line": line_bps / 1e6}
    both = {**events, **breaker_events(looks)}
    found = [Timeline("goodput and limits", "MB/s", slot_seconds, lines, limits, both)]
    if any(map(rtt_ms, looks)):
        rtts = {"RTT": list(map(rtt_ms, looks))}
        found.append(Timeline("smoothed RTT", "ms", slot_seconds, rtts, {}, both))
    return found


def goodput_bps(looks: Sequence[Look]) -> list[float]:
    """Between each look and the one before; the first is since the beginning."""
    points = [(0.0, 0), *((look.seconds, look.total_bytes) for look in looks)]
    return [
        (total - before) / (at - since)
        for (since, before), (at, total) in pairwise(points)
    ]


def breaker_events(looks: Sequence[Look]) -> dict[str, float]:
    """When each state of the breaker was seen first after another one."""
    return {
        f"breaker {after.row['breaker']}": after.seconds
        for before, after in pairwise(looks)
        if before.row["breaker"] != after.row["breaker"]
    }
