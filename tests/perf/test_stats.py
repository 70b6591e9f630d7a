import pytest

from perf.stats import Spread, paired_ratios, spread


def test_spread_is_minimum_median_maximum_in_any_order() -> None:
    assert spread([5.0, 1.0, 2.0]) == Spread(1.0, 2.0, 5.0)
    assert spread([1.0, 2.0]) == Spread(1.0, 1.5, 2.0)


def test_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        spread([])


def test_ratios_pair_the_same_round_only() -> None:
    subject, peer = {0: 1.0, 1: 3.0, 2: 9.0}, {0: 2.0, 1: 4.0, 5: 1.0}
    assert paired_ratios(subject, peer) == (0.5, 0.75)


def test_a_peer_that_reads_zero_has_no_ratio() -> None:
    assert paired_ratios({0: 1.0, 1: 1.0}, {0: 0.0, 1: 2.0}) == (0.5,)
