"""Waiting for several completions: only under load, and never for long."""

from __future__ import annotations

from penstock import _testing

S = 10**9


def test_an_engine_with_little_to_do_waits_for_one() -> None:
    c = _testing.Coalescer()
    for _ in range(100):
        c.learn(1)
    assert c.want == 1
    assert c.wait_ns(S) == S


def test_load_raises_the_number_to_its_bound_and_bounds_the_wait() -> None:
    c = _testing.Coalescer()
    for _ in range(1000):
        c.learn(200)
    assert c.want == _testing.WAIT_MOST
    assert c.wait_ns(S) == _testing.WAIT_NS
    assert c.wait_ns(10) == 10, "a nearer timer is not missed"


def test_waiting_in_vain_ends_within_a_few_rounds() -> None:
    c = _testing.Coalescer()
    for _ in range(1000):
        c.learn(200)
    rounds = 0
    while c.want > 1:
        c.learn(0)
        rounds += 1
    assert rounds < _testing.WAIT_MOST.bit_length(), "each halves the number"
