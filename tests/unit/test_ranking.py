"""The best of many are kept, whatever order they come in."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

values = st.lists(st.integers(0, 20), max_size=60)


@given(values, st.integers(0, 12))
def test_the_best_are_kept_and_everybody_else_is_out(
    found: list[int], most: int
) -> None:
    contest = _testing.Contest(most)
    entrants = [(value, 1000 - i) for i, value in enumerate(found)]
    out = [contest.enter(*entrant) for entrant in entrants]
    best = sorted(entrants, reverse=True)[:most]
    assert sorted(contest.kept.values(), reverse=True) == best
    assert sorted(o for o in out if o is not None) == sorted(set(entrants) - set(best))
    assert set(contest.kept) == set(range(len(best)))


def test_among_equals_precedence_decides() -> None:
    contest = _testing.Contest(1)
    assert contest.enter(5, 7) is None
    assert contest.enter(5, 6) == (5, 6)
    assert contest.enter(5, 8) == (5, 7)


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_list_in_order_is_ranked(order: int) -> None:
    contest = _testing.Contest(100)
    for value in range(10_000)[::order]:
        contest.enter(value, 0)
    assert sorted(v for v, _ in contest.kept.values()) == list(range(9900, 10_000))
