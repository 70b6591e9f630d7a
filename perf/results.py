"""What a workload hands to the report: metrics, samples, verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from perf.machine import Machine
from perf.stats import Spread, paired_ratios, spread

SUBJECT = "penstock"
Limit = Literal["server", "client", "neither"]
Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of figures; ``key`` names it in samples and in JSON.

    Keys like ``p50_us``, ``p99_us``, ``max_us`` of one unit are points of one
    distribution, which the page draws together.
    """

    key: str
    title: str
    unit: str
    digits: int = 2
    ratio: bool = False
    """Whether the report relates it, round by round, to every peer's figure."""
    better: Better | None = None
    """The good direction; None for a circumstance, which no comparison judges."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened over time, in slots of equal length."""

    title: str
    unit: str
    slot_seconds: float
    lines: Mapping[str, Sequence[float]]
    """One value for each slot, from second 0 on."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Values that one should see as lines."""
    events: Mapping[str, float] = field(default_factory=dict)
    """What was done, and in which second."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One server, one case, one round."""

    server: str
    case: str
    round: int
    values: Mapping[str, float]
    limited_by: Limit | None = None
    """Which side ran out of CPU first; None where the workload does not ask."""
    passed: bool | None = None
    """Against the workload's own bound; None where it has none."""
    congestion: str | None = None
    """Congestion control read back from the server's connection, where it varies."""
    timelines: Sequence[Timeline] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """One run of one workload."""

    workload: str
    machine: Machine
    metrics: Sequence[Metric]
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader must know before believing the figures, absent peers included."""
    subject: str = SUBJECT
    """The row that the others are compared with."""
    bound: str = "the limit"
    """What verdicts are against."""
    about: str = ""
    """What is measured, in one sentence."""
    seconds: float | None = None
    """Length of one measured interval, where the workload has such a thing."""

    def cases(self) -> list[str]:
        return list(dict.fromkeys(sample.case for sample in self.samples))

    def servers(self, case: str) -> list[str]:
        mine = (sample.server for sample in self.samples if sample.case == case)
        return list(dict.fromkeys(mine))

    def rounds(self, case: str, server: str, key: str) -> dict[int, float]:
        """Round number -> value; empty when the server did not report ``key``."""
        return {
            sample.round: sample.values[key]
            for sample in self.samples
            if (sample.case, sample.server) == (case, server) and key in sample.values
        }

    def spread(self, case: str, server: str, key: str) -> Spread | None:
        values = list(self.rounds(case, server, key).values())
        return spread(values) if values else None

    def ratio(self, case: str, peer: str, key: str) -> Spread | None:
        """The subject's figure over the peer's, paired by round."""
        found = self.ratios(case, peer, key)
        return spread(found) if found else None

    def ratios(self, case: str, peer: str, key: str) -> tuple[float, ...]:
        return paired_ratios(
            self.rounds(case, self.subject, key), self.rounds(case, peer, key)
        )

    def limits(self, case: str, server: str) -> list[str]:
        """Who limited the rounds of this case, without repetition."""
        found = (
            sample.limited_by
            for sample in self.samples
            if (sample.case, sample.server) == (case, server)
        )
        return sorted({limit for limit in found if limit is not None})

    def congestions(self, case: str) -> list[str]:
        """What the servers' connections were found to use in this case."""
        mine = (s.congestion for s in self.samples if s.case == case)
        return sorted({name for name in mine if name is not None})

    def passed(self, case: str, server: str) -> bool | None:
        """Whether every round did; None where the workload has no bound."""
        found = [
            sample.passed
            for sample in self.samples
            if (sample.case, sample.server) == (case, server)
            and sample.passed is not None
        ]
        return all(found) if found else None

    def failed(self) -> bool:
        return any(sample.passed is False for sample in self.samples)
