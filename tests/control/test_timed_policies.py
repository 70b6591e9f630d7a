"""The task of the policies: at once, on time, beside schedules and quotas."""

from datetime import timedelta
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.control.test_enforcement import fires, resolved
from tests.control.test_policies import policy
from tests.control.test_quotas import quota
from tests.control.test_schedules import schedule
from tests.control.test_timed_limits import NOON, Timed, World, closing

HALF = policy(scale=0.5, applies_to=["group:g", "default"], expires="10s")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "state")
    world.rates = {"group:g": 1000, "server": 8000}
    return world


async def test_a_policy_holds_at_once_and_ends_when_its_time_is_over(
    world: World, autojump_clock: MockClock
) -> None:
    limits = world.open(Timed(policies={"half": HALF}), stored=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(1)
        limits.notify([fires()])
        assert world.table.caps == {"group:g": (500, "policy")}
        await trio.sleep(9)
        limits.notify([fires()])
        await trio.sleep(9.9)
        assert world.table.caps == {"group:g": (500, "policy")}
        await trio.sleep(0.2)
        assert world.table.caps == {}
        nursery.cancel_scope.cancel()


async def test_an_end_that_was_said_is_kept_to_the_second(
    world: World, autojump_clock: MockClock
) -> None:
    limits = world.open(Timed(policies={"half": HALF}), stored=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.run)
        await trio.sleep(1)
        limits.notify([fires(ends_at=NOON + timedelta(seconds=4))])
        await trio.sleep(2.9)
        assert world.table.caps
        await trio.sleep(0.2)
        assert world.table.caps == {}
        nursery.cancel_scope.cancel()


def test_a_resolved_alert_gives_back_what_it_took(world: World) -> None:
    with closing(world.open(Timed(policies={"half": HALF}), stored=False)) as limits:
        limits.notify([fires()])
        limits.notify([resolved()])
        assert world.table.caps == {}
        calls = len(world.table.calls)
        limits.notify([resolved()])
        assert len(world.table.calls) == calls


def test_a_scale_follows_what_is_configured_while_it_holds(world: World) -> None:
    with closing(world.open(Timed(policies={"half": HALF}), stored=False)) as limits:
        limits.notify([fires()])
        world.rates["group:g"] = 3000
        limits.follow()
        assert world.table.caps == {"group:g": (1500, "policy")}
        del world.rates["group:g"]
        limits.follow()
        assert world.table.caps == {}


def test_the_lowest_of_schedule_quota_and_policy_holds_with_its_cause(
    world: World,
) -> None:
    everywhere = ["client:a"]
    settings = Timed(
        [schedule(applies_to=everywhere, rate="1MB/s")],
        {"q": quota(applies_to=everywhere)},
        {"p": policy(applies_to=everywhere, rate="500kB/s")},
    )
    with closing(world.open(settings)) as limits:
        limits.notify([fires()])
        assert world.table.caps == {"client:a": (500_000, "policy")}
        world.send("a", 2000)
        limits.tick()
        assert world.table.caps == {"client:a": (200_000, "quota")}
        limits.notify([resolved()])
        assert world.table.caps == {"client:a": (200_000, "quota")}


def test_a_reload_keeps_a_policy_that_holds_and_undoes_one_that_is_gone(
    world: World,
) -> None:
    settings = Timed(policies={"half": HALF, "gone": policy(rate=7)})
    with closing(world.open(settings, stored=False)) as limits:
        limits.notify([fires()])
        world.table.caps.clear()  # the table was configured anew
        limits.configure(Timed(policies={"half": HALF}))
        assert world.table.caps == {"group:g": (500, "policy")}
        limits.configure(Timed())
        assert world.table.caps == {}


def test_whoever_watches_hears_of_each_target_once(world: World) -> None:
    with closing(world.open(Timed(policies={"half": HALF}), stored=False)) as limits:
        limits.notify([fires()])
        limits.notify([fires()])
        limits.notify([resolved()])
    numbers = {"policy": "half", "alert": "UplinkSaturated"}
    begins = numbers | {"active": True, "why": "fired"}
    ends = numbers | {"active": False, "why": "resolved", "rate_bps": None}
    assert world.events == [
        ("policy", "group:g", begins | {"rate_bps": 500}),
        ("policy", "default", begins | {"rate_bps": None}),
        ("policy", "group:g", ends),
        ("policy", "default", ends),
    ]


def test_that_nobody_resolved_an_alert_is_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(world.open(Timed(policies={"half": HALF}), stored=False)) as limits:
        limits.notify([fires()])
        world.offset = timedelta(seconds=10)
        limits.tick()
    [record] = [r for r in caplog.records if r.levelname == "WARNING"]
    assert record.getMessage() == "policy 'half' ends: alert UplinkSaturated expired"
