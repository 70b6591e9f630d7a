"""Enforcement: which policies are active, because an alert that they name fires.

Pure: what was notified, settings and now go in; what changed comes out. An alert is
known by its fingerprint, and the last that was said of it holds. So a notification may
come any number of times; it only renews. That an alert is resolved is not believed when
it began to fire anew after that: it was said late. When it began is no sign of that: of
two Prometheus servers that see the same, Alertmanager tells the earlier moment. Nor is
it believed that an alert fires when it was resolved a moment ago and did not begin
anew: another Alertmanager says late what was.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from penstock.caps import Cap, Target, lowest
from penstock.policies import Policy, RateOf

ALERTS_MAX = 100  # that make one policy active; of more, those that end first are lost
RESOLVED_MAX = 100  # alerts that are remembered as such
LATE = timedelta(seconds=15)  # that one Alertmanager is behind another at most
Why = Literal["fired", "resolved", "expired", "removed"]
Result = Literal["changed", "unchanged", "unmatched"]
Counted = Result | Literal["refused"]  # by whoever could not understand it
_NEVER = datetime.max.replace(tzinfo=UTC)


class Alert(NamedTuple):
    """What is said of one alert. Moments by the clock of whoever says it."""

    fingerprint: str
    labels: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None  # None: not known
    fires: bool

    def fires_at(self, now: datetime) -> bool:
        return self.fires and (self.ends_at is None or now < self.ends_at)

    @property
    def over_at(self) -> datetime:
        """Of one that does not fire: nothing of it that began until then goes on."""
        return max(self.starts_at, self.ends_at or self.starts_at)


class Change(NamedTuple):
    """A policy has become active, or has ceased to be."""

    name: str
    policy: Policy
    active: bool
    why: Why


class Notified(NamedTuple):
    """What came of a notification, by the names of the policies that it concerns."""

    policies: list[str]
    changes: list[Change]

    @property
    def result(self) -> Result:
        if self.changes:
            return "changed"
        return "unchanged" if self.policies else "unmatched"


class Firing(NamedTuple):
    """An alert that makes a policy active."""

    fingerprint: str
    starts_at: datetime
    until: datetime


class Active(NamedTuple):
    name: str
    policy: Policy
    since: datetime
    until: datetime  # unless it is renewed
    alerts: list[Firing]


@dataclass
class _Said:
    """Of an alert that fires."""

    starts_at: datetime
    renewed_at: datetime  # when it was said last
    ends_at: datetime

    def until(self, policy: Policy) -> datetime:
        expires = timedelta(microseconds=policy.expires_ns / 1000)
        return min(self.renewed_at + expires, self.ends_at)


@dataclass
class _Active:
    since: datetime
    said: dict[str, _Said] = field(default_factory=dict)  # by fingerprint

    def seen(self, name: str, policy: Policy) -> Active:
        alerts = [
            Firing(fingerprint, said.starts_at, said.until(policy))
            for fingerprint, said in self.said.items()
        ]
        until = max(alert.until for alert in alerts)
        return Active(name, policy, self.since, until, alerts)


@dataclass
class _Resolved:
    """What was resolved of late: by fingerprint, of which beginning, and when."""

    _noted: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def note(self, fingerprint: str, starts_at: datetime, now: datetime) -> None:
        if (known := self._noted.pop(fingerprint, None)) is not None:
            starts_at = max(starts_at, known[0])
        self._noted[fingerprint] = (starts_at, now)
        if len(self._noted) > RESOLVED_MAX:
            del self._noted[next(iter(self._noted))]

    def has(self, alert: Alert, now: datetime) -> bool:
        """False, too, where the clock was set back."""
        if (noted := self._noted.get(alert.fingerprint)) is None:
            return False
        starts_at, at = noted
        return alert.starts_at <= starts_at and at <= now < at + LATE


class Enforcement:
    """The alerts that fire, as far as a policy asks for them.

    Attributes:
        notified: how many notifications had which result.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self.policies: Mapping[str, Policy] = dict(policies)
        self.notified: dict[Counted, int] = {
            "changed": 0,
            "unchanged": 0,
            "unmatched": 0,
            "refused": 0,
        }
        self._active: dict[str, _Active] = {}
        self._resolved = _Resolved()

    def configure(self, policies: Mapping[str, Policy]) -> list[Change]:
        """Other policies from now on. One that is met by the same alerts as before
        stays active, whatever else of it has changed."""
        before = self.policies
        self.policies = dict(policies)
        removed = [
            name
            for name in self._active
            if name not in policies or not policies[name].is_met_as(before[name])
        ]
        for name in removed:
            del self._active[name]
        return [Change(name, before[name], False, "removed") for name in removed]

    def notify(self, alerts: Sequence[Alert], now: datetime) -> Notified:
        """The last of ``alerts`` counts where several are about the same one."""
        before = set(self._active)
        concerned: list[str] = []
        for name, policy in self.policies.items():
            matching = [alert for alert in alerts if policy.concerns(alert.labels)]
            for alert in matching:
                self._take(name, alert, now)
            if matching:
                concerned.append(name)
                self._make_room(name)
        done = Notified(concerned, self._changes(before, "resolved"))
        self.notified[done.result] += 1
        return done

    def expire(self, now: datetime) -> list[Change]:
        """End what has reached its end. A clock that was set back lengthens nothing."""
        changes: list[Change] = []
        for name, active in list(self._active.items()):
            policy = self.policies[name]
            for said in active.said.values():
                said.renewed_at = min(said.renewed_at, now)
            last = max(active.said.values(), key=lambda said: said.until(policy))
            active.said = {
                fingerprint: said
                for fingerprint, said in active.said.items()
                if now < said.until(policy)
            }
            if not active.said:
                del self._active[name]
                why: Why = "resolved" if last.ends_at <= now else "expired"
                changes.append(Change(name, policy, False, why))
        return changes

    def next_end(self) -> datetime | None:
        """When ``expire`` has something to do, if nothing is said meanwhile."""
        return min(
            (
                said.until(self.policies[name])
                for name, active in self._active.items()
                for said in active.said.values()
            ),
            default=None,
        )

    def is_active(self, name: str) -> bool:
        return name in self._active

    def active(self) -> list[Active]:
        """In the order of the policies."""
        return [
            found.seen(name, policy)
            for name, policy in self.policies.items()
            if (found := self._active.get(name)) is not None
        ]

    def caps(self, rate_of: RateOf) -> dict[Target, Cap]:
        return lowest(*(self.policies[name].caps(rate_of) for name in self._active))

    def _take(self, name: str, alert: Alert, now: datetime) -> None:
        if not alert.fires_at(now):
            self._end(name, alert, now)
        elif not self._resolved.has(alert, now):
            active = self._active.setdefault(name, _Active(now))
            active.said[alert.fingerprint] = _Said(
                alert.starts_at, now, alert.ends_at or _NEVER
            )

    def _end(self, name: str, alert: Alert, now: datetime) -> None:
        active = self._active.get(name)
        said = active.said.get(alert.fingerprint) if active else None
        began = alert.starts_at
        if active and said and said.starts_at <= alert.over_at:
            began = max(began, said.starts_at)
            del active.said[alert.fingerprint]
            if not active.said:
                del self._active[name]
        if not alert.fires:  # else it may yet be said to fire for longer
            self._resolved.note(alert.fingerprint, began, now)

    def _make_room(self, name: str) -> None:
        """Once all is taken: what the same notification resolves needs none."""
        active = self._active.get(name)
        if active is None or len(active.said) <= ALERTS_MAX:
            return
        policy, said = self.policies[name], active.said
        active.said = dict(
            heapq.nlargest(
                ALERTS_MAX, said.items(), key=lambda item: item[1].until(policy)
            )
        )

    def _changes(self, before: Iterable[str], ended: Why) -> list[Change]:
        """Against what was active ``before``; one that ended did so for ``ended``."""
        was, now = set(before), set(self._active)
        return [
            Change(name, policy, name in now, "fired" if name in now else ended)
            for name, policy in self.policies.items()
            if (name in was) != (name in now)
        ]
