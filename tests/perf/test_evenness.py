"""The arithmetic that judges a shaper."""

import pytest

from perf import evenness

EVEN = [10] * 20
ALL_AT_ONCE = [200] + [0] * 19


def test_an_even_download_has_no_jitter_and_no_error() -> None:
    found = evenness.figures([EVEN, EVEN], rate_bps=100)
    jain = found.pop("jain_index")
    assert jain == pytest.approx(1.0)
    assert set(found.values()) == {0.0}


def test_jitter_is_the_deviation_over_the_mean() -> None:
    assert evenness.jitter_percent([5, 15]) == pytest.approx(50.0)
    assert evenness.jitter_percent(ALL_AT_ONCE) == pytest.approx(100 * 19**0.5)
    assert evenness.jitter_percent([0] * 20) == pytest.approx(100 * 19**0.5)


def test_bytes_that_come_in_bursts_within_a_second_are_even_by_the_second() -> None:
    bursts = ([100] + [0] * 9) * 2
    found = evenness.figures([bursts], rate_bps=100)
    assert found["jitter_percent"] == pytest.approx(300.0)
    assert found["jitter_1s_percent"] == 0.0
    assert evenness.whole_seconds([1] * 25) == [10, 10]


def test_errors_of_downloads_do_not_cancel_but_those_of_the_sum_do() -> None:
    found = evenness.figures([[9] * 20, [11] * 20], rate_bps=100)
    assert found["error_percent"] == pytest.approx(10.0)
    assert found["sum_error_percent"] == pytest.approx(0.0)


def test_jain_index_is_one_when_equal_and_one_nth_when_one_has_all() -> None:
    assert evenness.jain_index([3.0] * 7) == pytest.approx(1.0)
    assert evenness.jain_index([0, 0, 0, 8.0]) == pytest.approx(0.25)
    assert evenness.jain_index([0, 0]) == 0.0


def test_p99_is_the_nearest_rank() -> None:
    assert evenness.p99(range(100, 0, -1)) == 99
    assert evenness.p99(range(1, 1001)) == 990
    assert evenness.p99([7]) == 7
