"""Waiting for several completions: only under load, and never for long."""

from __future__ import annotations

import pytest

from penstock import _testing

S = 10**9
MOST = _testing.COALESCE["most"]
WAIT_LEAST_NS = _testing.COALESCE["wait_least_ns"]
WAIT_MOST_NS = _testing.COALESCE["wait_most_ns"]
MEASURE_NS = _testing.COALESCE["measure_ns"]
SPARE = _testing.COALESCE["spare"]
BUSY = _testing.COALESCE["busy"]


def loaded() -> _testing.Coalescer:
    c = _testing.Coalescer()
    for _ in range(1000):
        c.learn(200)
    return c


def test_an_engine_with_little_to_do_waits_for_one() -> None:
    c = _testing.Coalescer()
    for _ in range(100):
        c.learn(1)
    assert c.want == 1
    assert c.wait_ns(S) == S


def test_load_raises_the_number_to_its_bound_and_bounds_the_wait() -> None:
    c = loaded()
    assert c.want == MOST
    assert c.wait_ns(S) == WAIT_LEAST_NS
    assert c.wait_ns(10) == 10, "a nearer timer is not missed"


def test_waiting_in_vain_ends_within_a_few_rounds() -> None:
    c = loaded()
    rounds = 0
    while c.want > 1:
        c.learn(0)
        rounds += 1
    assert rounds < MOST.bit_length(), "each halves the number"


@pytest.mark.parametrize(
    ("used", "wait_ns"),
    [
        (0, WAIT_LEAST_NS),
        (SPARE, WAIT_LEAST_NS),
        ((SPARE + BUSY) // 2, (WAIT_LEAST_NS + WAIT_MOST_NS) // 2),
        (BUSY, WAIT_MOST_NS),
        (1000, WAIT_MOST_NS),
        (1500, WAIT_MOST_NS),  # clocks that disagree
    ],
)
def test_the_busier_the_core_the_longer_the_wait(used: int, wait_ns: int) -> None:
    c = loaded()
    c.measure(10 * MEASURE_NS, used * 10 * MEASURE_NS // 1000)
    assert c.wait_ns(S) == wait_ns


def test_only_the_latest_stretch_counts() -> None:
    c = loaded()
    c.measure(S, S)
    assert c.wait_ns(S) == WAIT_MOST_NS
    c.measure(2 * S, S)
    assert c.wait_ns(S) == WAIT_LEAST_NS


def test_the_core_is_looked_at_seldom() -> None:
    c = _testing.Coalescer()
    assert not c.due(MEASURE_NS - 1)
    assert c.due(MEASURE_NS)
    c.measure(MEASURE_NS, 0)
    assert not c.due(2 * MEASURE_NS - 1)


def test_two_looks_at_the_same_moment_do_no_harm() -> None:
    c = _testing.Coalescer()
    c.measure(0, 0)
    assert c.wait_ns(S) == S
