"""The task that keeps the caps as schedules, quotas and policies say, as time goes by.

What holds when is decided elsewhere, by pure functions; here the clock is read, usage
is counted twice a second, and saved every ten seconds.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import trio

from penstock.caps import CapBook, Caps, Target, lowest
from penstock.enforcement import Alert, Change, Enforcement, Notified
from penstock.errors import PenstockError
from penstock.policies import Policy, RateOf
from penstock.quota_state import QuotaStore, dump_accounts
from penstock.quotas import Account, Ledger, Quota, QuotaUse
from penstock.schedules import Schedule, caps_at, next_change
from penstock.usage import Usage

log = logging.getLogger(__name__)

COUNT_S = 0.5  # how late a stage of a quota may begin
# The wall clock may be set at any time: how long that may go unnoticed.
RECHECK_S = 10.0
SAVE_S = 10.0  # so much usage is lost at most when the process is killed
_WEEK = timedelta(days=7)  # after which a schedule that never changes is looked at


class TimedSettings(Protocol):
    @property
    def schedules(self) -> Sequence[Schedule]: ...
    @property
    def quotas(self) -> Mapping[str, Quota]: ...
    @property
    def policies(self) -> Mapping[str, Policy]: ...


class Publish(Protocol):
    """Tells whoever watches; never waits."""

    def __call__(
        self, kind: str, subject: str, **numbers: str | float | bool | None
    ) -> None: ...


def _nobody(kind: str, subject: str, **numbers: str | float | bool | None) -> None:
    """Nobody watches."""


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class TimedLimits:
    """Schedules, quotas and policies of one server.

    Args:
        book: what is told of the caps.
        store: where usage is kept; None only when there are no quotas.
        accounts_max: most clients of one quota that are remembered.
        rate_of: what is configured of a target now.
        on_change: hears of policies that become active, and that end.

    Raises:
        PenstockError: usage can not be read, or not be written.
    """

    def __init__(
        self,
        settings: TimedSettings,
        book: CapBook,
        usage: Usage,
        store: QuotaStore | None,
        *,
        accounts_max: int,
        rate_of: RateOf,
        on_change: Publish = _nobody,
        clock: Callable[[], datetime] = _wall_clock,
    ) -> None:
        self.saves_failed_total = 0
        self._saves_fail = False
        self._book = book
        self._usage = usage
        self._store = store
        self._clock = clock
        self._rate_of = rate_of
        self._on_change = on_change
        self.enforcement = Enforcement(settings.policies)
        self._schedules = settings.schedules
        self._reconfigured = trio.Event()
        saved = store.load() if store else {}
        now = clock()
        self.ledger = Ledger(settings.quotas, accounts_max, now, saved)
        self._unsaved = False
        if store is not None and settings.quotas:
            self._save_first(store)
        self._schedule(now)
        self._book.apply(self._wanted())

    def configure(self, settings: TimedSettings) -> None:
        """Other schedules, quotas and policies hold from now on, at once.

        A quota that is new counts from now on, too, whatever was sent before. All is
        said to the table again, since it was configured anew.
        """
        now = self._clock()
        self._count(now)
        self.ledger.configure(settings.quotas, now)
        self._schedules = settings.schedules
        self._schedule(now)
        self._tell(self.enforcement.configure(settings.policies))
        self._book.apply(self._wanted(), again=True)
        self._unsaved = bool(settings.quotas)
        self._reconfigured.set()

    def notify(self, alerts: Sequence[Alert]) -> Notified:
        """What policies make of it holds at once."""
        now = self._clock()
        done = self.enforcement.notify(alerts, now)
        self._tell(done.changes)
        if done.changes:
            self._book.apply(self._wanted())
        self._reconfigured.set()  # something may end earlier than it did
        return done

    def follow(self) -> None:
        """The rate of a client or group has changed: what is a part of it follows."""
        if self.enforcement.active():
            self._book.apply(self._wanted())

    def tick(self) -> None:
        """See what was used and what time it is; tell the book what changed."""
        now = self._clock()
        if self.ledger.quotas:
            self._count(now)
        ended = self.enforcement.expire(now)
        self._tell(ended)
        if not self._since <= now < self._until:
            self._schedule(now)
            self._book.apply(self._wanted())
        elif ended or self._judged != self.ledger.changes:
            self._book.apply(self._wanted())

    async def run(self) -> None:
        """Until it is cancelled; then usage is counted and saved a last time."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                if self._store is not None:
                    nursery.start_soon(self._keep_saving, self._store)
        finally:
            self.close()

    def close(self) -> None:
        self.tick()
        if self._store is not None:
            if self._unsaved:
                self._note(_attempt(self._store, self.ledger.accounts))
            self._store.close()
            self._store = None

    def uses(
        self, client_id: str, group: str | None, *, is_default: bool
    ) -> list[QuotaUse]:
        """Every quota that concerns one client, as it was at most ``COUNT_S`` ago."""
        return self.ledger.uses(client_id, group, is_default=is_default)

    def _wanted(self) -> Caps:
        self._judged = self.ledger.changes
        enforced = self.enforcement.caps(self._rate_of)
        return lowest(self._scheduled, self.ledger.caps(), enforced)

    def _tell(self, changes: Sequence[Change]) -> None:
        for name, policy, active, why in changes:
            says = log.warning if why == "expired" else log.info
            state = "holds" if active else "ends"
            says("policy %r %s: alert %s %s", name, state, policy.alert, why)
            caps = policy.caps(self._rate_of) if active else {}
            for target in policy.applies_to:
                self._on_change(
                    "policy",
                    str(target),
                    policy=name,
                    alert=policy.alert,
                    active=active,
                    why=why,
                    rate_bps=caps[target].rate_bps if target in caps else None,
                )

    def _schedule(self, now: datetime) -> None:
        self._scheduled = caps_at(self._schedules, now)
        self._since = now
        self._until = next_change(self._schedules, now) or now + _WEEK

    def _count(self, now: datetime) -> None:
        sent = self._usage.take()
        self.ledger.count(sent, now)
        self._unsaved = self._unsaved or bool(sent)
        for one in sent:
            self._book.check(Target("client", one.client_id), one.cap_bps)

    async def _keep_time(self) -> None:
        while True:
            self.tick()
            with trio.move_on_after(self._pause_s()):
                await self._reconfigured.wait()
            self._reconfigured = trio.Event()

    def _pause_s(self) -> float:
        if self.ledger.quotas:
            return COUNT_S
        next_end = self.enforcement.next_end() or self._until
        left_s = (min(next_end, self._until) - self._clock()).total_seconds()
        return min(max(left_s, 0.0), RECHECK_S)

    async def _keep_saving(self, store: QuotaStore) -> None:
        """In another thread: a disk may be slow. Of a copy: usage goes on."""
        while True:
            await trio.sleep(SAVE_S)
            if self._unsaved:
                self._unsaved = False
                accounts = self.ledger.accounts.items()
                copy = {name: account.copy() for name, account in accounts}
                try:
                    error = await trio.to_thread.run_sync(_attempt, store, copy)
                except BaseException:  # cancelled before it began: ``close`` saves
                    self._unsaved = True
                    raise
                self._note(error)

    def _save_first(self, store: QuotaStore) -> None:
        """So that a folder that can not be written is found out at the start."""
        error = _attempt(store, self.ledger.accounts)
        if error is not None:
            store.close()
            raise PenstockError(
                f"server.state_dir: {store.file} can not be written: {error.strerror}"
            )

    def _note(self, error: OSError | None) -> None:
        """Of a failure: once, not every time, and again when it is over."""
        if error is not None:
            self._unsaved = True
            self.saves_failed_total += 1
            if not self._saves_fail:
                log.error("usage of the quotas can not be saved: %s", error.strerror)
        elif self._saves_fail:
            log.info("usage of the quotas is saved again")
        self._saves_fail = error is not None


def _attempt(store: QuotaStore, accounts: Mapping[str, Account]) -> OSError | None:
    try:
        store.save(dump_accounts(accounts))
    except OSError as error:
        return error
    return None
