"""The controller on paths: capacity and demand that change, marks, chance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tests.unit.simulated_path import MSS, Path, S

MB = 10**6

FLOOR = 2 * MSS

paths = {
    "capacity_bps": st.floats(0.5 * MB, 10 * MB),
    "rtt_ms": st.integers(20, 60),
}

few = settings(max_examples=10, deadline=None)


@few
@given(**paths, share=st.floats(0.05, 0.95))
def test_a_demand_that_the_path_can_carry_is_never_held(
    capacity_bps: float, rtt_ms: int, share: float
) -> None:
    path = Path(capacity_bps, rtt_ms, demand_bps=share * capacity_bps)
    path.run(10)
    assert set(path.rates) == {0}


@few
@given(**paths, factor=st.sampled_from([0.2, 0.5, 2.0, 5.0]))
def test_after_a_step_of_the_capacity_the_rate_is_steady_within_30_seconds(
    capacity_bps: float, rtt_ms: int, factor: float
) -> None:
    """Of sawteeth the mean is: that of ten seconds is the same from then on, to 5 %,
    and what the path carries is used. (At an RTT of 10 ms a pass is five of them, and
    three quarters are: what halving leaves.)"""
    path = Path(capacity_bps, rtt_ms, buffer_rtts=max(factor, 1))
    path.run(20)
    path.capacity *= factor
    path.run(30)
    found = path.mean_bps(10)
    path.run(30)
    assert found == pytest.approx(path.mean_bps(30), rel=0.05)
    assert found >= 0.8 * path.capacity


@few
@given(**paths, low=st.floats(0.1, 0.8))
def test_after_a_step_of_the_demand_it_is_met_within_30_seconds(
    capacity_bps: float, rtt_ms: int, low: float
) -> None:
    """With room in the path, from a limit that an earlier overload left behind."""
    path = Path(capacity_bps, rtt_ms)
    path.run(10)
    path.demand = low * capacity_bps / 2
    path.run(10)
    path.demand = low * capacity_bps
    path.run(30)
    assert path.mean_bps(5) == pytest.approx(path.demand, rel=0.05)
    settled = path.controller.window_bytes
    path.run(30)
    assert path.controller.window_bytes == settled, "no oscillation"


@few
@given(**paths)
def test_marks_hold_the_queue_where_loss_would_come_too_late(
    capacity_bps: float, rtt_ms: int
) -> None:
    path = Path(capacity_bps, rtt_ms, buffer_rtts=4, marks=True)
    path.run(20)
    path.changes.clear()
    path.run(30)
    assert "loss" not in path.changes
    assert path.mean_bps(30) >= 0.45 * capacity_bps


def test_random_loss_leaves_a_floor() -> None:
    path = Path(10 * MB, 20, random_loss=0.3)
    path.run(30)
    assert path.rates[-1] >= FLOOR * S // path.srtt


@pytest.mark.parametrize("asked_ms", [100, 500, 1000])
def test_who_is_asked_seldom_is_held_to_what_its_path_carries(asked_ms: int) -> None:
    """Among ten thousand downloads the news of each comes once a second, and is that of
    many RTTs: no round is clean because nobody asked."""
    path = Path(2 * MB, 20, asked_ms=asked_ms)
    path.run(60)
    rates = path.rates[len(path.rates) // 2 :]
    assert 0.5 * 2 * MB < sum(rates) / len(rates) < 1.3 * 2 * MB
