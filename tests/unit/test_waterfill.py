"""Dividing by weight: nobody is out of bounds, nothing is left, the level is one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

INF = math.inf


@st.composite
def shares(draw: st.DrawFn) -> tuple[float, float, float]:
    weight = draw(st.integers(1, 10_000))
    least = draw(st.one_of(st.just(0.0), st.floats(0, 1e6)))
    most = draw(st.one_of(st.just(INF), st.floats(0, 1e8).map(lambda x: least + x)))
    return float(weight), least, most


def test_weights_divide_what_there_is() -> None:
    got, level = _testing.waterfilled([(1, 0, INF), (2, 0, INF), (4, 0, INF)], 700)
    assert got == [100, 200, 400]
    assert level == 100


def test_who_wants_little_leaves_the_rest_to_others() -> None:
    got, _ = _testing.waterfilled([(1, 0, 10), (1, 0, INF), (2, 0, INF)], 310)
    assert got == [10, 100, 200]


def test_a_guarantee_is_kept_at_the_cost_of_the_others() -> None:
    got, _ = _testing.waterfilled([(1, 80, INF), (1, 0, INF), (1, 0, INF)], 100)
    assert got == [80, 10, 10]


def test_everybody_has_what_they_want_where_it_fits() -> None:
    got, level = _testing.waterfilled([(1, 0, 10), (5, 0, 20)], 100)
    assert got == [10, 20]
    assert level == INF


def test_guarantees_beyond_the_capacity_shrink_in_proportion() -> None:
    got, _ = _testing.waterfilled([(1, 300, INF), (9, 100, INF)], 200)
    assert got == pytest.approx([150, 50])


def test_nobody_gets_nothing() -> None:
    assert _testing.waterfilled([], 100) == ([], INF)


@given(st.lists(shares(), min_size=1, max_size=60), st.floats(1, 1e9))
def test_shares_are_within_bounds_use_everything_and_have_one_level(
    wanted: list[tuple[float, float, float]], capacity: float
) -> None:
    got, level = _testing.waterfilled(wanted, capacity)
    close = 1e-6 * capacity + 1e-6
    sum_least = sum(least for _, least, _ in wanted)
    scale = min(1.0, capacity / sum_least) if sum_least else 1.0
    if level == INF:
        assert got == [most for _, _, most in wanted]
        assert sum(got) <= capacity + close
        return
    assert sum(got) == pytest.approx(capacity, rel=1e-6, abs=1e-6)
    for (weight, least, most), x in zip(wanted, got, strict=True):
        assert least * scale - close <= x <= most + close
        if least * scale + close < x < most - close:
            assert x == pytest.approx(level * weight, rel=1e-6, abs=close)
