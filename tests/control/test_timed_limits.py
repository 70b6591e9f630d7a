"""The task of schedules and quotas: on time, after a reload, over a restart."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from penstock.caps import CapBook, Target
from penstock.errors import PenstockError
from penstock.policies import Policy
from penstock.quota_state import QuotaStore
from penstock.quotas import Quota
from penstock.schedules import Schedule
from penstock.timed_limits import COUNT_S, RECHECK_S, SAVE_S, TimedLimits
from penstock.usage import Sent
from tests.control.fakecaps import FakeCaps
from tests.control.test_calendars import utc
from tests.control.test_quotas import quota
from tests.control.test_schedules import schedule

NOON = utc("2026-11-24T12:00")
MB = 10**6


@dataclass
class Timed:
    schedules: Sequence[Schedule] = ()
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)


class World:
    """A table, its rows, and a wall clock that goes with Trio's and can be set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = FakeCaps()
        self.totals: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.offset = timedelta()
        self.takes = 0
        self.rates: dict[str, int] = {}
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def rate_of(self, target: Target) -> int:
        return self.rates.get(str(target), 0)

    def publish(self, kind: str, subject: str, **numbers: object) -> None:
        self.events.append((kind, subject, numbers))

    def now(self) -> datetime:
        try:
            seconds = trio.current_time()
        except RuntimeError:  # not within Trio
            seconds = 0.0
        return NOON + timedelta(seconds=seconds) + self.offset

    def send(self, client_id: str, n_bytes: int) -> None:
        self.totals[client_id] = self.totals.get(client_id, 0) + n_bytes

    def open(self, settings: Timed, *, stored: bool = True) -> TimedLimits:
        store = QuotaStore(self.folder) if stored else None
        return TimedLimits(
            settings,
            CapBook(self.table),
            self,
            store,
            accounts_max=100,
            rate_of=self.rate_of,
            on_change=self.publish,
            clock=self.now,
        )

    def take(self) -> list[Sent]:
        """Usage, with the caps that the rows have."""
        self.takes += 1
        found = []
        for client_id, total in self.totals.items():
            cap_bps, _ = self.table.caps.get(f"client:{client_id}", (0, ""))
            n_bytes = total - self.seen.get(client_id, 0)
            if n_bytes:
                found.append(Sent(client_id, n_bytes, cap_bps=cap_bps))
        self.seen = dict(self.totals)
        return found

    def saved(self, client_id: str = "a") -> int:
        """What a process that is killed now leaves behind."""
        copy = self.folder.with_name("copy")
        copy.mkdir(exist_ok=True)
        (copy / "quotas.json").write_bytes((self.folder / "quotas.json").read_bytes())
        store = QuotaStore(copy)
        try:
            return store.load()["q"].used_bytes.get(Target("client", client_id), 0)
        finally:
            store.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps would jump while a thread is at work."""

    async def run_sync(call: Callable[..., object], *args: object) -> object:
        return call(*args)

    monkeypatch.setattr("penstock.timed_limits.trio.to_thread.run_sync", run_sync)


@contextmanager
def closing(limits: TimedLimits) -> Iterator[TimedLimits]:
    try:
        yield limits
    finally:
        limits.close()


AFTERNOON = schedule(**{"from": "13:00", "to": "14:00", "rate": 1000})


async def test_a_schedule_begins_and_ends_on_time(
    world: World, autojump_clock: MockClock
) -> None:
    limits = world.open(Timed([AFTERNOON]), stored=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(3599.9)
        assert world.table.caps == {}
        await trio.sleep(0.2)
        assert world.table.caps == {"server": (1000, "schedule")}
        await trio.sleep(3599.8)
        assert world.table.caps == {"server": (1000, "schedule")}
        await trio.sleep(0.2)
        assert world.table.caps == {}
        nursery.cancel_scope.cancel()
    assert len(world.table.calls) == 2


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(hours=-23)])
async def test_a_clock_that_is_set_is_noticed(
    world: World, autojump_clock: MockClock, by: timedelta
) -> None:
    limits = world.open(Timed([AFTERNOON]), stored=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(5)
        world.offset = by
        await trio.sleep(RECHECK_S + 0.1)
        assert world.table.caps == {"server": (1000, "schedule")}
        world.offset = timedelta()
        await trio.sleep(RECHECK_S + 0.1)
        assert world.table.caps == {}
        nursery.cancel_scope.cancel()


async def test_a_reload_holds_at_once_and_its_changes_are_on_time(
    world: World, autojump_clock: MockClock
) -> None:
    world.offset = timedelta(seconds=5)  # so that no regular look falls on 12:01
    limits = world.open(Timed([schedule(rate=7)]), stored=False)
    assert world.table.caps == {"server": (7, "schedule")}
    soon = schedule(**{"applies_to": ["default"], "from": "12:01", "rate": 9})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(52)
        limits.configure(Timed([soon]))
        assert world.table.caps == {}
        await trio.sleep(3.1)
        assert world.table.caps == {"default": (9, "schedule")}
        nursery.cancel_scope.cancel()


def test_what_holds_is_said_again_after_the_table_was_configured(world: World) -> None:
    settings = Timed([schedule(rate=7)], {"q": quota()})
    with closing(world.open(settings)) as limits:
        world.send("a", 1000)
        limits.tick()
        told = dict(world.table.caps)
        assert set(told) == {"server", "client:a"}
        world.table.caps.clear()
        limits.configure(settings)
        assert world.table.caps == told


async def test_without_quotas_nobody_is_counted_and_the_task_sleeps(
    world: World, autojump_clock: MockClock
) -> None:
    limits = world.open(Timed([AFTERNOON]), stored=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(600)
        nursery.cancel_scope.cancel()
    assert world.takes == 0


async def test_a_client_that_used_its_volume_is_slowed_within_a_second(
    world: World, autojump_clock: MockClock
) -> None:
    limits = world.open(Timed(quotas={"q": quota()}))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(10.5)
        world.send("a", 900)
        world.send("b", 700)
        await trio.sleep(COUNT_S + 0.1)
        assert world.table.caps == {"client:a": (20 * MB, "quota")}
        world.send("a", 2000)
        await trio.sleep(COUNT_S + 0.1)
        assert world.table.caps == {"client:a": (200_000, "quota")}
        world.offset = timedelta(hours=12)
        await trio.sleep(COUNT_S + 0.1)
        assert world.table.caps == {}
        nursery.cancel_scope.cancel()


def test_the_lower_of_schedule_and_quota_holds_with_its_cause(world: World) -> None:
    both = schedule(applies_to=["client:a"], rate="1MB/s")
    settings = Timed([both], {"q": quota(applies_to=["client:a"])})
    with closing(world.open(settings)) as limits:
        assert world.table.caps == {"client:a": (MB, "schedule")}
        world.send("a", 1000)
        limits.tick()
        assert world.table.caps == {"client:a": (MB, "schedule")}
        world.send("a", 1000)
        limits.tick()
        assert world.table.caps == {"client:a": (200_000, "quota")}
        [use] = limits.uses("a", None, is_default=True)
        assert (use.used_bytes, use.stage) == (2000, 3)


def test_a_recycled_row_gets_the_cap_of_its_client_again(world: World) -> None:
    with closing(world.open(Timed(quotas={"q": quota()}))) as limits:
        world.send("a", 1000)
        limits.tick()
        assert world.table.caps == {"client:a": (2 * MB, "quota")}
        world.table.caps.clear()
        world.send("a", 1)
        limits.tick()
        assert world.table.caps == {"client:a": (2 * MB, "quota")}


def test_a_quota_that_is_new_counts_from_then_on(world: World) -> None:
    with closing(world.open(Timed())) as limits:
        world.send("a", 5000)
        limits.configure(Timed(quotas={"q": quota()}))
        assert world.table.caps == {}
        world.send("a", 800)
        limits.tick()
        assert world.table.caps == {"client:a": (20 * MB, "quota")}
        limits.configure(Timed())
        assert world.table.caps == {}


async def test_a_kill_loses_at_most_the_usage_since_the_last_save(
    world: World, autojump_clock: MockClock, without_threads: None
) -> None:
    limits = world.open(Timed(quotas={"q": quota(bytes="1GB")}))
    used: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(0.5)
        for _ in range(35):
            world.send("a", 10)
            used.append(world.totals["a"])
            await trio.sleep(1)
            back = int(SAVE_S + COUNT_S) + 1
            before = used[-back] if len(used) >= back else 0
            assert before <= world.saved() <= used[-1]
        nursery.cancel_scope.cancel()
    assert world.saved() == used[-1]


async def test_usage_outlasts_a_clock_that_is_set_back_over_a_kill(
    world: World, autojump_clock: MockClock, without_threads: None
) -> None:
    settings = Timed(quotas={"q": quota()})
    killed = world.folder.with_name("killed")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.open(settings).run)
        world.send("a", 1000)
        await trio.sleep(1)
        world.offset = timedelta(days=-1)
        world.send("a", 1)
        await trio.sleep(SAVE_S + COUNT_S)
        shutil.copytree(world.folder, killed)
        nursery.cancel_scope.cancel()
    world.folder, world.offset = killed, timedelta()
    world.table.caps.clear()
    with closing(world.open(settings)) as again:
        assert world.table.caps == {"client:a": (2 * MB, "quota")}
        [use] = again.uses("a", None, is_default=True)
        assert use.used_bytes == 1001


def test_the_last_bytes_are_saved_at_the_end_and_count_after_a_restart(
    world: World,
) -> None:
    settings = Timed(quotas={"q": quota()})
    limits = world.open(settings)
    world.send("a", 999)
    limits.close()
    world.table.caps.clear()
    with closing(world.open(settings)) as again:
        assert world.table.caps == {"client:a": (20 * MB, "quota")}
        world.send("a", 1)
        again.tick()
        assert world.table.caps == {"client:a": (2 * MB, "quota")}


async def test_a_full_disk_is_told_once_and_the_server_goes_on(
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    without_threads: None,
) -> None:
    limits = world.open(Timed(quotas={"q": quota()}))
    caplog.set_level("INFO")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        with monkeypatch.context() as patch:
            patch.setattr("penstock.quota_state.QuotaStore.save", full)
            world.send("a", 1000)
            await trio.sleep(3 * SAVE_S + 1)
            assert world.table.caps == {"client:a": (2 * MB, "quota")}
            assert limits.saves_failed_total == 3
        await trio.sleep(SAVE_S)
        assert world.saved() == 1000
        nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        "usage of the quotas can not be saved: No space left on device",
        "usage of the quotas is saved again",
    ]


async def test_nothing_is_written_while_nobody_is_sent_anything(
    world: World, autojump_clock: MockClock, without_threads: None
) -> None:
    limits = world.open(Timed(quotas={"q": quota()}))
    file = world.folder / "quotas.json"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        world.send("a", 1)
        await trio.sleep(SAVE_S + COUNT_S)
        written = file.stat().st_ino
        await trio.sleep(5 * SAVE_S)
        assert file.stat().st_ino == written
        nursery.cancel_scope.cancel()
    assert file.stat().st_ino == written


def test_a_folder_that_can_not_be_written_is_refused_at_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("penstock.quota_state.QuotaStore.save", refuse)
    with pytest.raises(PenstockError, match="can not be written: Read-only"):
        world.open(Timed(quotas={"q": quota()}))


def test_a_start_without_quotas_leaves_the_usage_from_before(world: World) -> None:
    settings = Timed(quotas={"q": quota()})
    limits = world.open(settings)
    world.send("a", 900)
    limits.close()
    world.open(Timed()).close()
    assert world.saved() == 900
