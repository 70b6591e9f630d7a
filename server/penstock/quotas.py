"""``[quotas.NAME]``: a volume of bytes per day or month, and the rates to which whoever
uses more is slowed down, in stages. Nobody is refused.

Pure functions of usage and now; ``quota_state`` keeps the usage over a restart.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from penstock.calendars import Per, period_end, period_start
from penstock.caps import Cap, Target, lowest
from penstock.fieldtypes import Rate, Size, between, listed, printable, spelled
from penstock.rates import format_rate
from penstock.schedules import Targets, Zone
from penstock.usage import Sent

QUOTAS_MAX = 64  # each charges every client that is sent something
STAGES_MAX = 16
NAME_MAX = 64
QUOTA_BYTES_MAX = 1 << 60
AT_MAX = 1000.0  # of the volume
# Of the accounts of a quota that is full, so many are dropped at once, the smallest
# ones: a search among all for every new one would take long.
_DROPPED_SHARE = 8
_EVERYBODY = Target("default")
_SERVER = Target("server")


def _part(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        part = float(value)
        if 0 < part <= AT_MAX:  # no NaN is
            return part
    raise ValueError(
        f"{spelled(value)} is not a part of the volume from above 0 to {AT_MAX:g}; "
        "1.0 is all of it"
    )


class Stage(BaseModel):
    """From ``at`` times the volume on, no more than the rate."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    at: Annotated[float, BeforeValidator(_part)]
    rate_bps: Rate = Field(alias="rate")


class Quota(BaseModel):
    """Each of ``applies_to`` has the volume for itself; ``default``: each client."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    applies_to: Targets
    per: Per
    timezone: Zone = ZoneInfo("UTC")
    volume_bytes: Annotated[Size, between(1, QUOTA_BYTES_MAX)] = Field(alias="bytes")
    stages: Annotated[tuple[Stage, ...], listed('{ at = 1.0, rate = "2MB/s" }')]

    @field_validator("stages")
    @classmethod
    def _ever_slower(cls, value: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if not 1 <= len(value) <= STAGES_MAX:
            raise ValueError(f"1 to {STAGES_MAX} stages are possible, not {len(value)}")
        for before, stage in pairwise(value):
            if stage.at <= before.at or stage.rate_bps >= before.rate_bps:
                raise ValueError(
                    f"at {stage.at:g} {format_rate(stage.rate_bps)} must come later "
                    f"and be slower than at {before.at:g} "
                    f"{format_rate(before.rate_bps)}"
                )
        return value

    def stage_of(self, used_bytes: int) -> int:
        """0: none yet; else the number of the stage, the first is 1."""
        reached = [s for s in self.stages if used_bytes >= self.volume_bytes * s.at]
        return len(reached)

    def cap_at(self, stage: int) -> Cap:
        """Of stage 1 and on."""
        return Cap(self.stages[stage - 1].rate_bps, "quota")


def _few(value: "dict[str, Quota]") -> "dict[str, Quota]":
    if len(value) > QUOTAS_MAX:
        raise ValueError(f"at most {QUOTAS_MAX} are possible, not {len(value)}")
    return value


Quotas = Annotated[
    dict[Annotated[str, printable("a quota's name", NAME_MAX)], Quota],
    AfterValidator(_few),
]


class QuotaUse(NamedTuple):
    """How much of a quota is used, for people and metrics."""

    quota: str
    applies_to: Target
    used_bytes: int
    volume_bytes: int
    stage: int  # 0: none yet
    rate_bps: int | None  # of the stage
    ends_at: datetime  # UTC; then it begins anew


@dataclass
class Account:
    """What was used of one quota.

    Args:
        start: first day of the period that it is by the clock.
        latest: first day of the period in which usage began; later than ``start``
            when the clock was set back.
    """

    start: date
    used_bytes: dict[Target, int] = field(default_factory=dict)
    latest: date = date.min

    def __post_init__(self) -> None:
        self.latest = max(self.latest, self.start)

    def copy(self) -> "Account":
        return Account(self.start, dict(self.used_bytes), self.latest)

    def roll(self, start: date) -> bool:
        """Go on to the period that begins on ``start``; True when usage was dropped.

        A clock that was set back takes usage along: it was used lately, whatever the
        clock said. When it is set right again, the usage is of that period still. Any
        other step to a later period drops it: a clock that once was years ahead keeps
        nobody slow beyond the next midnight.
        """
        before, self.start = self.start, start
        if start <= before or start == self.latest:
            return False
        self.latest = start
        self.used_bytes.clear()
        return True


class Ledger:
    """The accounts of all quotas, and the caps that follow from them.

    Args:
        accounts_max: most clients of one quota whose usage is remembered. When there
            are more, those that used least are forgotten, who lose least by it.
        saved: usage from before a restart; of quotas that there are no more it is lost.
    """

    def __init__(
        self,
        quotas: Mapping[str, Quota],
        accounts_max: int,
        now: datetime,
        saved: Mapping[str, Account] | None = None,
    ) -> None:
        self.quotas: Mapping[str, Quota] = {}
        self.accounts: dict[str, Account] = dict(saved or {})
        self.changes = 0  # grows whenever a cap may have changed
        self.dropped_total = 0  # accounts that were forgotten for lack of room
        self._accounts_max = accounts_max
        self._targets: dict[str, frozenset[Target]] = {}
        self._slowed: dict[str, dict[Target, Cap]] = {}
        self.configure(quotas, now)

    def configure(self, quotas: Mapping[str, Quota], now: datetime) -> None:
        """Usage of a quota that keeps its name, period and target stays."""
        for name, quota in quotas.items():
            before = self.quotas.get(name)
            if before is not None and before.per != quota.per:
                del self.accounts[name]
        self.accounts = {
            name: self.accounts.get(name) or Account(_start(quota, now))
            for name, quota in quotas.items()
        }
        self.quotas = dict(quotas)
        self._targets = {name: frozenset(q.applies_to) for name, q in quotas.items()}
        self._forget_others()
        self._roll(now)
        self._judge_all()

    def count(self, sent: Sequence[Sent], now: datetime) -> None:
        """Charge what was sent to every account that it belongs to."""
        if self._roll(now):
            self._judge_all()
        for name, account in self.accounts.items():
            self._judge(name, _charge(self._targets[name], account, sent))
            if len(account.used_bytes) > self._accounts_max:
                self._make_room(name)

    def caps(self) -> dict[Target, Cap]:
        return lowest(*self._slowed.values())

    def uses(
        self, client_id: str, group: str | None, *, is_default: bool
    ) -> list[QuotaUse]:
        """Every quota that concerns this client, its group's and the server's too."""
        return [
            self._use(name, target)
            for name, targets in self._targets.items()
            for target in _accounts_of(targets, Sent(client_id, 0, group, is_default))
        ]

    def named_uses(self) -> list[QuotaUse]:
        """Of everything that the configuration names: a bounded number."""
        return [
            self._use(name, target)
            for name, quota in self.quotas.items()
            for target in quota.applies_to
            if target.kind != "default"
        ]

    def slowed(self, name: str) -> int:
        """How many accounts of a quota are in a stage."""
        return len(self._slowed.get(name, ()))

    def _use(self, name: str, target: Target) -> QuotaUse:
        quota, account = self.quotas[name], self.accounts[name]
        used = account.used_bytes.get(target, 0)
        stage = quota.stage_of(used)
        rate = quota.cap_at(stage).rate_bps if stage else None
        ends = period_end(account.start, quota.per, quota.timezone)
        return QuotaUse(name, target, used, quota.volume_bytes, stage, rate, ends)

    def _roll(self, now: datetime) -> bool:
        """True when usage of some quota was dropped."""
        rolled = [
            self.accounts[name].roll(_start(quota, now))
            for name, quota in self.quotas.items()
        ]
        return any(rolled)

    def _judge(self, name: str, targets: Iterable[Target]) -> None:
        """Put each of ``targets`` into the stage that its usage has reached."""
        quota, used = self.quotas[name], self.accounts[name].used_bytes
        slowed = self._slowed.setdefault(name, {})
        for target in targets:
            stage = quota.stage_of(used.get(target, 0))
            cap = quota.cap_at(stage) if stage else None
            if slowed.get(target) == cap:
                continue
            self.changes += 1
            if cap is None:
                del slowed[target]
            else:
                slowed[target] = cap

    def _judge_all(self) -> None:
        self._slowed = {}
        self.changes += 1
        for name, account in self.accounts.items():
            self._judge(name, account.used_bytes)

    def _forget_others(self) -> None:
        """Accounts that no quota has any more."""
        for name, targets in self._targets.items():
            used = self.accounts[name].used_bytes
            everybody = _EVERYBODY in targets
            for target in list(used):
                of_default = everybody and target.kind == "client"
                if target not in targets and not of_default:
                    del used[target]

    def _make_room(self, name: str) -> None:
        used = self.accounts[name].used_bytes
        n = len(used) - self._accounts_max + self._accounts_max // _DROPPED_SHARE
        for target in heapq.nsmallest(n, used, key=used.__getitem__):
            del used[target]
            self.dropped_total += 1
            if self._slowed[name].pop(target, None):
                self.changes += 1


def _start(quota: Quota, now: datetime) -> date:
    return period_start(now, quota.per, quota.timezone)


def _charge(
    targets: frozenset[Target], account: Account, sent: Sequence[Sent]
) -> set[Target]:
    """Returns the targets whose usage has grown."""
    touched: set[Target] = set()
    used = account.used_bytes
    for one in sent:
        if one.n_bytes <= 0:
            continue
        for target in _accounts_of(targets, one):
            used[target] = used.get(target, 0) + one.n_bytes
            touched.add(target)
    return touched


def _accounts_of(targets: frozenset[Target], sent: Sent) -> list[Target]:
    """What the bytes of one client count for, of the targets of a quota."""
    client = Target("client", sent.client_id)
    named = [client, _SERVER]
    if sent.group is not None:
        named.append(Target("group", sent.group))
    found = [target for target in named if target in targets]
    if sent.is_default and _EVERYBODY in targets and client not in targets:
        found.append(client)
    return found
