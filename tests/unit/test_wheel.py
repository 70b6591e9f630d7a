"""The timing wheel against a sorted list: never early, at most a tick late."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from penstock import _testing

MS = 10**6
S = 10**9
NEVER = 2**63 - 1
TIMERS = 8


def pop_all(wheel: _testing.TimingWheel, now: int) -> list[int]:
    popped = []
    while (timer := wheel.pop(now)) is not None:
        popped.append(timer)
    return popped


def test_an_empty_wheel_never_wakes() -> None:
    wheel = _testing.TimingWheel(1, 5 * S)
    assert wheel.next_ns() == NEVER
    assert wheel.pop(10**18) is None


@pytest.mark.parametrize(
    "wait", [1, MS, MS + 1, 4095 * MS, 4096 * MS, 5 * S, 60 * S, 1048 * S, 86_400 * S]
)
@pytest.mark.parametrize("start", [0, 999_999, 4095 * MS, 12_345_678_901_234])
def test_a_timer_fires_on_time_and_once(start: int, wait: int) -> None:
    wheel = _testing.TimingWheel(1, start)
    deadline = start + wait
    wheel.arm(0, deadline)
    assert wheel.pop(deadline - 1) is None
    assert wheel.pop(deadline + MS) == 0
    assert wheel.pop(deadline + 10 * S) is None
    assert wheel.count == 0


def test_following_next_ns_finds_every_timer_within_a_tick() -> None:
    wheel = _testing.TimingWheel(TIMERS, 0)
    deadlines = [3, MS, 7 * MS + 1, 4096 * MS, 4097 * MS, 9 * S, 3600 * S, 90_000 * S]
    for timer, deadline in enumerate(deadlines):
        wheel.arm(timer, deadline)
    fired, wakes = {}, 0
    while wheel.count:
        now = wheel.next_ns()
        wakes += 1
        for timer in pop_all(wheel, now):
            fired[timer] = now
    assert set(fired) == set(range(TIMERS))
    for timer, deadline in enumerate(deadlines):
        assert deadline <= fired[timer] <= deadline + MS
    assert wakes < 150, "sorting in costs one wake-up per 17 minutes, not per slot"


def test_a_past_deadline_fires_at_once() -> None:
    wheel = _testing.TimingWheel(1, 10 * S)
    wheel.arm(0, 3)
    assert wheel.next_ns() <= 10 * S
    assert wheel.pop(10 * S) == 0


def test_one_tick_keeps_the_order_of_arming() -> None:
    wheel = _testing.TimingWheel(TIMERS, 0)
    for timer in (5, 2, 7, 0):
        wheel.arm(timer, 100 * MS)
    assert pop_all(wheel, 100 * MS) == [5, 2, 7, 0]


def test_arming_again_moves_and_cancelling_removes() -> None:
    wheel = _testing.TimingWheel(2, 0)
    wheel.arm(0, 5 * MS)
    wheel.arm(0, 9 * S)
    wheel.arm(1, 5 * MS)
    wheel.cancel(1)
    wheel.cancel(1)
    assert not wheel.armed(1)
    assert pop_all(wheel, 8 * S) == []
    assert pop_all(wheel, 9 * S) == [0]


def test_rearming_in_a_handler_does_not_keep_popping_alive() -> None:
    wheel = _testing.TimingWheel(1, 0)
    wheel.arm(0, 0)
    pops = 0
    while wheel.pop(50 * MS) is not None:
        pops += 1
        wheel.arm(0, 51 * MS)
        assert pops == 1


arm = st.tuples(
    st.just("arm"),
    st.integers(0, TIMERS - 1),
    st.one_of(st.integers(-S, 10 * MS), st.integers(0, 10 * S), st.integers(0, 10**14)),
)
cancel = st.tuples(st.just("cancel"), st.integers(0, TIMERS - 1), st.just(0))
advance = st.tuples(
    st.just("advance"),
    st.just(0),
    st.one_of(st.integers(0, 10 * MS), st.integers(0, 10 * S), st.integers(0, 10**13)),
)


@settings(max_examples=400)
@given(st.lists(st.one_of(arm, cancel, advance), max_size=60), st.integers(0, 10**13))
def test_the_wheel_agrees_with_a_list(steps: list[Any], start: int) -> None:
    wheel = _testing.TimingWheel(TIMERS, start)
    model: dict[int, int] = {}
    now = start
    for kind, timer, value in steps:
        if kind == "arm":
            wheel.arm(timer, now + value)
            model[timer] = now + value
        elif kind == "cancel":
            wheel.cancel(timer)
            model.pop(timer, None)
        else:
            now += value
            for popped in pop_all(wheel, now):
                assert model.pop(popped) <= now, "fired early"
            assert all(d > now - MS for d in model.values()), "more than a tick late"
        assert wheel.count == len(model)
        assert {t for t in range(TIMERS) if wheel.armed(t)} == set(model)
        if model:
            soonest = max(min(model.values()), now)
            assert wheel.next_ns() <= soonest + MS
