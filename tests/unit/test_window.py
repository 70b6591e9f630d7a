"""The sliding window with a manual clock: the mean of ten complete seconds, and their
jitter."""

from __future__ import annotations

import statistics
import threading

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

S = 10**9
SECONDS = 10
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 2 * S), st.integers(0, 40 * S)),
        st.integers(0, 10**11),
    ),
    max_size=60,
)


def expected(sent: list[tuple[int, int]], now: int) -> int:
    """From every transmission: those of the ten seconds before the running one."""
    second = now // S
    return sum(n for at, n in sent if 1 <= second - at // S <= SECONDS) // SECONDS


@given(st.integers(0, 2**62 // 2), steps)
def test_the_mean_is_that_of_ten_complete_seconds(
    start: int, steps: list[tuple[int, int]]
) -> None:
    window = _testing.SlidingWindow()
    now, sent = start, []
    for pause, n in steps:
        now += pause
        window.add(n, now)
        sent.append((now, n))
        assert window.mean_bps(now) == expected(sent, now)
    for later in (0, 1, SECONDS - 1, SECONDS, SECONDS + 1, 1000):
        at = now + later * S
        assert window.mean_bps(at) == expected(sent, at)


def test_the_running_second_counts_when_it_is_over() -> None:
    window = _testing.SlidingWindow()
    window.add(10**6, 5 * S)
    assert window.mean_bps(6 * S - 1) == 0
    assert window.mean_bps(6 * S) == 10**5
    assert window.mean_bps(16 * S - 1) == 10**5
    assert window.mean_bps(16 * S) == 0


def test_a_steady_rate_is_its_own_mean() -> None:
    window = _testing.SlidingWindow()
    for millisecond in range(0, 11_000, 25):
        window.add(25_000, millisecond * 10**6)
    assert window.mean_bps(11 * S) == 10**6


def test_an_engine_that_is_a_little_behind_counts_in_its_own_second() -> None:
    window = _testing.SlidingWindow()
    window.add(100, 7 * S + 5)
    window.add(100, 7 * S - 5)
    assert window.mean_bps(7 * S + 5) == 10
    assert window.mean_bps(8 * S) == 20


def test_a_second_holds_what_no_network_can_carry() -> None:
    window = _testing.SlidingWindow()
    for _ in range(3):
        window.add(2**43, S)
    assert window.mean_bps(2 * S) == (2**44 - 1) // SECONDS


def test_threads_lose_nothing_when_a_second_begins() -> None:
    window = _testing.SlidingWindow()
    window.add(7, S)  # of a slot that the threads take over
    times, threads = 200_000, 4
    workers = [
        threading.Thread(target=window.add_many, args=(3, 12 * S, times))
        for _ in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert window.mean_bps(13 * S) == 3 * times * threads // SECONDS


def of_seconds(sent: list[int]) -> _testing.SlidingWindow:
    """``sent`` in the complete seconds before second ``len(sent)``."""
    window = _testing.SlidingWindow()
    for second, n in enumerate(sent):
        window.add(n, second * S)
    return window


@given(st.lists(st.integers(1, 2**44 - 1), min_size=SECONDS, max_size=SECONDS + 5))
def test_jitter_is_deviation_by_mean_of_the_eight_seconds_between(
    sent: list[int],
) -> None:
    steady = sent[-SECONDS + 1 : -1]
    wanted = statistics.pstdev(steady) / statistics.fmean(steady)
    jitter = of_seconds(sent).jitter(len(sent) * S)
    assert jitter == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_a_steady_rate_has_no_jitter_however_it_began_and_ended() -> None:
    sent = [1, *[10**6] * 8, 999]
    assert of_seconds(sent).jitter(10 * S) == 0


def test_every_second_between_counts() -> None:
    for at in range(1, 9):
        sent = [8] * SECONDS
        sent[at] = 4
        assert of_seconds(sent).jitter(10 * S) > 0.1


@pytest.mark.parametrize("silent", range(SECONDS))
def test_a_client_that_was_silent_in_one_of_ten_seconds_has_no_jitter(
    silent: int,
) -> None:
    sent = [10**6] * SECONDS
    sent[silent] = 0
    assert of_seconds(sent).jitter(10 * S) < 0


def test_the_running_second_is_not_a_steady_one() -> None:
    window = of_seconds([10**6] * SECONDS)
    window.add(5, 10 * S)
    assert window.jitter(11 * S - 1) == 0
    assert window.jitter(11 * S) == 0  # the last of ten: it may have ended in it
    window.add(10**6, 11 * S)
    assert window.jitter(12 * S) > 0.3
    assert window.jitter(13 * S) < 0  # silent since
