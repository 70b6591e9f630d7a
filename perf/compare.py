"""New results against old ones, on machines that never run equally fast twice.

What is judged is the ratio of the subject to its peers, which were measured in the
same minutes: a machine that is slower today slows them all. Only where both results
have no peer in common are the subject's own figures judged, and then more leniently.

The rule, for one case and metric: in each round the subject's figure is divided by the
geometric mean of the common peers' figures. The rounds of each result span a range; it
is widened to at least a margin around its median. Only when the two ranges do not touch
is the new one better or worse. Up to nine rounds the range is from the lowest to the
highest: that five new rounds are all worse than five old ones is by chance alone one
case in 252. From ten rounds on it is the middle half, or one outlier in a hundred
rounds would hide everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import geometric_mean
from typing import Literal

from perf.errors import PerfError
from perf.machine import Machine
from perf.record import Record
from perf.results import Better, Metric, Result
from perf.stats import Spread, middle

Outcome = Literal["better", "worse", "same"]

MARGIN = 0.025
"""Of the median to each side: code that moved in memory can do as much by itself."""
MARGIN_FEW_ROUNDS = 0.10
"""With few rounds on a side: three are apart from three by chance once in 20 times."""
MARGIN_ABSOLUTE = 0.15
"""Without common peers: a shared machine's speed moves by a fifth within hours."""
FEW_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of the subject in one case, old and new."""

    case: str
    metric: Metric
    old: Spread
    new: Spread
    peers: Sequence[str]
    """Those of both results, which the ratios are to; empty: absolute figures."""
    old_ratio: Spread | None
    new_ratio: Spread | None
    outcome: Outcome

    def percent(self) -> float | None:
        """The subject's own figure; None where the old one was zero."""
        return percent(self.old, self.new)

    def ratio_percent(self) -> float | None:
        if self.old_ratio is None or self.new_ratio is None:
            return None
        return percent(self.old_ratio, self.new_ratio)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a case met the workload's own bound, old and new."""

    case: str
    old: bool
    new: bool
    outcome: Outcome


@dataclass(slots=True)
class Comparison:
    """One workload, old and new."""

    workload: str
    subject: str
    changes: list[Change] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        found = [change.outcome for change in self.changes]
        return (found + [verdict.outcome for verdict in self.verdicts]).count(outcome)

    def regressed(self) -> bool:
        return self.count("worse") > 0


@dataclass(slots=True)
class Compared:
    """All workloads of two files, and why some were left out."""

    workloads: list[Comparison] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def regressed(self) -> bool:
        return any(comparison.regressed() for comparison in self.workloads)


def percent(old: Spread, new: Spread) -> float | None:
    return 100.0 * (new.median / old.median - 1.0) if old.median else None


def judge(old: Spread, new: Spread, better: Better, margin: float) -> Outcome:
    """Whether ``new`` lies wholly on one side of ``old``, both widened by margin."""
    old_low, old_high = _widened(old, margin)
    new_low, new_high = _widened(new, margin)
    if new_low <= old_high and old_low <= new_high:
        return "same"
    lower = new_high < old_low
    return "better" if lower == (better == "lower") else "worse"


def _widened(found: Spread, margin: float) -> tuple[float, float]:
    reach = abs(found.median) * margin
    return (
        min(found.minimum, found.median - reach),
        max(found.maximum, found.median + reach),
    )


def compare(old: Record, new: Record) -> Compared:
    """Every workload that both have.

    Raises:
        PerfError: nothing can be compared; with the reason of each workload.
    """
    found = Compared()
    for after in new.results:
        before = old.result(after.workload)
        if before is None:
            found.left_out.append(f"{after.workload} is only in the new file")
            continue
        try:
            found.workloads.append(workload(before, after))
        except PerfError as error:
            found.left_out.append(str(error))
    found.left_out += [
        f"{before.workload} is only in the old file"
        for before in old.results
        if new.result(before.workload) is None
    ]
    if not found.workloads:
        raise PerfError(f"nothing to compare: {'; '.join(found.left_out)}")
    return found


def workload(old: Result, new: Result) -> Comparison:
    """Every case and metric that both results of one workload have.

    Raises:
        PerfError: they are about different subjects, or share no case.
    """
    if old.subject != new.subject:
        raise PerfError(
            f"{new.workload}: about {old.subject} in the old file, {new.subject} now"
        )
    cases = [case for case in new.cases() if case in old.cases()]
    if not cases:
        raise PerfError(
            f"{new.workload}: no case in common: {_names(old)} in the old file, "
            f"{_names(new)} now"
        )
    found = Comparison(new.workload, new.subject, warnings=circumstances(old, new))
    for case in cases:
        for metric in new.metrics:
            change = _change(old, new, case, metric)
            if change is not None:
                found.changes.append(change)
        found.verdicts += _verdicts(old, new, case)
    if any(not change.peers for change in found.changes):
        found.warnings.append(
            "where no peer is in common, the figures themselves are judged, with a "
            f"margin of {MARGIN_ABSOLUTE:.0%} on both sides"
        )
    return found


def _names(result: Result) -> str:
    first, *others = result.cases()
    return f"{first!r} and {len(others)} more" if others else repr(first)


def _change(old: Result, new: Result, case: str, metric: Metric) -> Change | None:
    """None for a circumstance, and for what one side did not measure."""
    before, after = (r.spread(case, r.subject, metric.key) for r in (old, new))
    if metric.better is None or before is None or after is None:
        return None
    peers = common_peers(old, new, case, metric.key)
    rounds = [ratios(r, case, metric.key, peers) for r in (old, new)]
    if not peers or not all(rounds):
        peers = []
        own = (r.rounds(case, r.subject, metric.key) for r in (old, new))
        rounds = [list(values.values()) for values in own]
    ranges = middle(rounds[0]), middle(rounds[1])
    margin = max(
        MARGIN if peers else MARGIN_ABSOLUTE,
        MARGIN_FEW_ROUNDS if min(map(len, rounds)) <= FEW_ROUNDS else 0.0,
    )
    return Change(
        case=case,
        metric=metric,
        old=before,
        new=after,
        peers=peers,
        old_ratio=ranges[0] if peers else None,
        new_ratio=ranges[1] if peers else None,
        outcome=judge(*ranges, metric.better, margin),
    )


def common_peers(old: Result, new: Result, case: str, key: str) -> list[str]:
    """The subject's own baselines (its name and a suffix) are no peers: whatever makes
    the subject slower makes them slower, too."""
    return [
        server
        for server in new.servers(case)
        if server != new.subject
        and not server.startswith(f"{new.subject}-")
        and old.rounds(case, server, key)
        and new.rounds(case, server, key)
    ]


def ratios(result: Result, case: str, key: str, peers: Sequence[str]) -> list[float]:
    """The subject over the geometric mean of ``peers``, one for each round.

    A round in which one of them is missing or not above zero has none.
    """
    if not peers:
        return []
    own = result.rounds(case, result.subject, key)
    theirs = [result.rounds(case, peer, key) for peer in peers]
    found = []
    for number, value in sorted(own.items()):
        others = [rounds.get(number, 0.0) for rounds in theirs]
        if value > 0 and min(others) > 0:
            found.append(value / geometric_mean(others))
    return found


def _verdicts(old: Result, new: Result, case: str) -> list[Verdict]:
    before, after = old.passed(case, old.subject), new.passed(case, new.subject)
    if before is None or after is None:
        return []
    outcome: Outcome = "same" if before == after else "better" if after else "worse"
    return [Verdict(case, before, after, outcome)]


def circumstances(old: Result, new: Result) -> list[str]:
    """What differs between the two runs and may explain a change."""
    was, now = old.machine, new.machine
    pairs: dict[str, tuple[object, object]] = {
        "CPU": (was.cpu_model, now.cpu_model),
        "number of cores": (was.cpus, now.cpus),
        "kernel": (was.kernel, now.kernel),
        "congestion control": (_congestion(was, now), _congestion(now, was)),
        "the server's cores": (list(was.server_cpus), list(now.server_cpus)),
        "the load's core": (was.load_cpu, now.load_cpu),
        "length of an interval": (old.seconds, new.seconds),
    } | {
        f"version of {name}": (was.versions[name], now.versions[name])
        for name in now.versions
        if name != new.subject and name in was.versions
    }
    found = [
        f"another {name}: {before} in the old file, {after} now"
        for name, (before, after) in pairs.items()
        if before != after
    ]
    return found + _lacking(old, new)


def _congestion(machine: Machine, other: Machine) -> str:
    """Nothing to compare where one of them did not say, since nothing was sent."""
    if not (machine.congestion_control and other.congestion_control):
        return ""
    pinned = "pinned" if machine.congestion_pinned else "not pinned"
    return f"{machine.congestion_control} ({pinned})"


def _lacking(old: Result, new: Result) -> list[str]:
    sides = (("old", old, new), ("new", new, old))
    return [
        f"{case} is only in the {side} file: not compared"
        for side, mine, other in sides
        for case in mine.cases()
        if case not in other.cases()
    ]
