"""The token bucket with a manual clock: limits hold, nothing is lost or minted."""

from __future__ import annotations

import threading
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

S = 10**9
MB = 10**6

rates = st.one_of(st.integers(1, 10**4), st.integers(10**4, 10**10))


def drain(bucket: _testing.TokenBucket, now: int, quantum: int) -> int:
    """Take quanta until refused; the bytes taken."""
    taken = 0
    while bucket.take(quantum, now) == 0:
        taken += quantum
    return taken


def test_a_new_bucket_grants_one_quantum_on_debt_and_then_waits() -> None:
    bucket = _testing.TokenBucket(MB, S)
    assert bucket.fill(S) == 0
    assert bucket.take(25_000, S) == 0
    assert bucket.fill(S) == -25_000
    assert bucket.take(25_000, S) == 25_000_000  # ns until the debt is paid
    assert bucket.take(25_000, S + 25_000_000) == 0


def test_capacity_is_two_seconds_of_the_rate() -> None:
    bucket = _testing.TokenBucket(MB, 0)
    assert bucket.fill(S) == MB
    assert bucket.fill(2 * S) == 2 * MB
    assert bucket.fill(1000 * S) == 2 * MB


def test_unlimited_grants_everything_and_owes_nothing() -> None:
    bucket = _testing.TokenBucket(0, 0)
    assert all(bucket.take(1 << 40, 0) == 0 for _ in range(1000))
    assert bucket.fill(S) == 0
    bucket.set_rate(MB, 5 * S)
    assert bucket.fill(5 * S) == 0, "coming from unlimited it starts empty"


@given(rates, st.lists(st.integers(0, S), min_size=5, max_size=60))
def test_any_ten_seconds_hold_twelve_seconds_of_rate_and_a_quantum(
    rate: int, steps: list[int]
) -> None:
    quantum = _testing.quantum(rate)
    bucket = _testing.TokenBucket(rate, 0)
    now, grants = 0, []
    for step in steps:
        now += step
        for _ in range(200):
            if bucket.take(quantum, now):
                break
            grants.append((now, quantum))
        else:
            return  # more than 200 quanta at once: a rate too high for this model
    for start, _ in grants:
        window = sum(n for at, n in grants if start <= at < start + 10 * S)
        assert window <= 12 * rate + quantum


@pytest.mark.parametrize("rate", [1, 10, 1000, 16384, MB, 10 * MB, 10**9, 10**10])
def test_the_long_run_rate_is_exact(rate: int) -> None:
    quantum = _testing.quantum(rate)
    bucket = _testing.TokenBucket(rate, 0)
    now, earlier = 0, -quantum  # bytes granted before the latest grant
    for _ in range(20_000):
        wait = bucket.take(quantum, now)
        if wait:
            now += wait
            assert bucket.take(quantum, now) == 0, "granted when it said it would"
        earlier += quantum
    error = Fraction(earlier) / (Fraction(rate) * Fraction(now, S)) - 1
    assert abs(error) < Fraction(6, 10**6)


@given(rates, st.integers(1, 1 << 30), st.integers(0, 10**6))
def test_a_refund_undoes_a_take(rate: int, n: int, now: int) -> None:
    bucket = _testing.TokenBucket(rate, now)
    before = bucket.fill(now)
    assert bucket.take(n, now) == 0
    bucket.refund(n)
    assert bucket.fill(now) == before


@given(rates, rates, st.floats(0.0, 2.0))
def test_a_new_rate_keeps_the_fill_fraction(old: int, new: int, seconds: float) -> None:
    now = int(seconds * S)
    bucket = _testing.TokenBucket(old, 0)
    fraction = Fraction(now, 2 * S)
    bucket.set_rate(new, now)
    assert abs(bucket.fill(now) - fraction * 2 * new) <= 1


@given(st.integers(10**3, 10**10), st.integers(10**3, 10**10), st.integers(1, 1 << 20))
def test_a_new_rate_keeps_the_debt_in_bytes(old: int, new: int, debt: int) -> None:
    bucket = _testing.TokenBucket(old, 0)
    bucket.take(debt, 0)
    bucket.set_rate(new, 0)
    # Half a nanosecond each at the old and the new rate, and two roundings to bytes.
    assert abs(bucket.fill(0) + debt) <= 2 + old // 10**9 + new // 10**9


def test_a_raised_rate_pays_the_debt_sooner() -> None:
    bucket = _testing.TokenBucket(1000, 0)
    bucket.take(16384, 0)
    assert bucket.take(1, 0) > 16 * S
    bucket.set_rate(100 * MB, 0)
    assert bucket.take(1, 0) < S // 1000


def test_a_grant_at_a_rate_just_replaced_leaves_no_debt_of_hours() -> None:
    bucket = _testing.TokenBucket(1, 0)
    bucket.take(4 * _testing.QUANTUM_MAX_BYTES, 0)
    bucket.replace_rate(MB)  # and nobody rescaled what was charged at the old one
    wait = bucket.take(1, 0)
    assert 0 < wait <= 2 * _testing.QUANTUM_MAX_BYTES * S // MB
    assert bucket.take(1, wait) == 0


@pytest.mark.parametrize("rate", [1, 10**12])
@pytest.mark.parametrize("n", [1, 1 << 40])
def test_extremes_do_not_overflow(rate: int, n: int) -> None:
    bucket = _testing.TokenBucket(rate, 2**62)
    assert bucket.take(n, 2**62) == 0
    assert bucket.fill(2**62) <= 0
    bucket.refund(n)
    assert bucket.fill(2**62) == 0


def test_threads_together_never_take_more_than_there_is() -> None:
    rate, quantum = 10**9, 16384
    bucket = _testing.TokenBucket(rate, 0)
    counts: list[int] = []

    def work() -> None:
        counts.append(bucket.take_many(quantum, 2 * S, 200_000))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    granted = sum(counts) * quantum
    assert 2 * rate <= granted < 2 * rate + 2 * quantum


def test_a_quantum_is_a_share_of_a_second_within_its_bounds() -> None:
    assert _testing.quantum(0) == _testing.QUANTUM_MAX_BYTES
    assert _testing.quantum(1) == _testing.QUANTUM_LEAST_BYTES
    assert _testing.quantum(10_240) == 5_120  # two a second
    assert _testing.quantum(102_400) == 25_600  # four
    assert _testing.quantum(MB) == 50_000  # twenty: 50 ms of the rate
    assert _testing.quantum(4 * MB) == 100_000  # forty: 25 ms
    assert _testing.quantum(10**9) == _testing.QUANTUM_MAX_BYTES
    assert _testing.quantum(_testing.RATE_MAX) == _testing.QUANTUM_MAX_BYTES


@given(st.integers(2 * 512, 40 * 2**20))
def test_every_second_has_the_same_number_of_quanta(rate: int) -> None:
    """One more or less would be a quarter of a second at 100 kB/s."""
    quantum = _testing.quantum(rate)
    grants = rate // quantum
    assert grants in (2, 4, 10, 20, 40)
    assert rate - grants * quantum < grants  # what whole bytes leave over
    assert quantum >= _testing.QUANTUM_MIN_BYTES or grants == 2


@given(st.integers(320 * 2**10, 40 * 2**20))
def test_a_client_that_can_is_served_every_25_or_50_ms(rate: int) -> None:
    assert rate // _testing.quantum(rate) in (20, 40)
