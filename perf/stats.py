"""Medians, spread and ratios: the only arithmetic between a sample and a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds of one figure said."""

    minimum: float
    median: float
    maximum: float


def spread(values: Sequence[float]) -> Spread:
    """Minimum, median and maximum of at least one value.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("a spread needs at least one value")
    return Spread(min(values), float(median(values)), max(values))


def paired_ratios(
    subject: Mapping[int, float], peer: Mapping[int, float]
) -> tuple[float, ...]:
    """Subject divided by peer, round by round; both map a round to its value.

    Only neighbours in time are compared: a round that either side lacks, or
    in which the peer reads 0, has no ratio.
    """
    return tuple(
        subject[round_] / peer[round_]
        for round_ in sorted(subject.keys() & peer.keys())
        if peer[round_] != 0
    )
