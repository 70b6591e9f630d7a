"""The control pass is called in time, and never takes much of a core."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from penstock.events import EventLog
from penstock.sharing import (
    PASS_PERIOD_MOST_S,
    PASS_PERIOD_S,
    Sharing,
    pass_period_s,
)
from penstock.steered import Steered
from tests.control.fakes import FakeClients


@pytest.mark.parametrize(
    ("took_s", "period_s"),
    [(0.0, 0.05), (0.0025, 0.05), (0.005, 0.1), (0.01, 0.2), (3.0, 0.2)],
)
def test_dear_passes_come_less_often_but_in_time_to_lend_and_reclaim(
    took_s: float, period_s: float
) -> None:
    assert pass_period_s(took_s) == pytest.approx(period_s)
    assert PASS_PERIOD_S <= pass_period_s(took_s) <= PASS_PERIOD_MOST_S <= 0.2


async def test_passes_follow_each_other_until_the_task_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    clients = FakeClients()
    sharing = Sharing(clients, Steered(EventLog()))
    with trio.move_on_after(10 * PASS_PERIOD_S + PASS_PERIOD_S / 2):
        await sharing.run()
    assert clients.passes == sharing.passes == 10


async def test_a_pass_that_was_missed_is_not_made_up_for(
    mock_clock: MockClock,
) -> None:
    clients = FakeClients()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Sharing(clients, Steered(EventLog())).run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(3600)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert clients.passes == 1
