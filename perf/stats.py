"""Medians, spread and ratios: the only arithmetic between a sample and a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles as cut_points


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


MIDDLE_HALF_FROM = 10
"""From so many values on, quartiles mean something and one outlier should not."""


def middle(values: Sequence[float]) -> Spread:
    """As ``spread``, but the middle half of many values: first to third quartile.

    Raises:
        ValueError: there is no value.
    """
    if len(values) < MIDDLE_HALF_FROM:
        return spread(values)
    low, half, high = cut_points(values, n=4, method="inclusive")
    return Spread(low, half, high)


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


@dataclass(frozen=True, slots=True)
class Quantiles:
    """The middle and the tail of many samples, in their unit."""

    p50: float
    p99: float
    p999: float
    maximum: float


def quantiles(values: Sequence[float]) -> Quantiles:
    """Exact ones: every sample is kept and sorted, none is put into a bin.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("quantiles need at least one value")
    pair = values if len(values) > 1 else [*values, *values]
    cuts = cut_points(pair, n=1000, method="inclusive")
    return Quantiles(cuts[499], cuts[989], cuts[998], max(values))
