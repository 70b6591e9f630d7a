"""Rate contexts: Python pays from the client's bucket, and nothing stays with it."""

from __future__ import annotations

import gc
import inspect
import logging
import tracemalloc
import warnings

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from penstock import _testing
from penstock.limiter import Limiter, RateContext

S = 10**9
MB = 10**6
QUANTUM_MAX = 1 << 20


class Held:
    """A row whose bucket is the engine's own."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.bucket = rows.bucket
        rows.held += 1

    def quantum_bytes(self) -> int:
        return _testing.quantum(self.rows.rate_bps)

    def take(self, n_bytes: int) -> int:
        if not 1 <= n_bytes <= QUANTUM_MAX:
            raise ValueError(f"{n_bytes} bytes")
        return self.bucket.take(n_bytes, self.rows.now_ns())

    def refund(self, n_bytes: int) -> None:
        self.bucket.refund(n_bytes)

    def settle(self, n_bytes: int) -> None:
        self.rows.moved_bytes += n_bytes

    def release(self) -> None:
        self.rows.held -= 1


class Rows:
    """One row for everybody; the clock is Trio's when it runs, else by hand."""

    def __init__(self, rate_bps: int = MB) -> None:
        self.rate_bps = rate_bps
        self.bucket = _testing.TokenBucket(rate_bps, 0)
        self.hand_ns = 0
        self.held = 0
        self.moved_bytes = 0

    def hold(self, client_id: str) -> Held:
        if not client_id:
            raise ValueError("client_id: empty")
        return Held(self)

    def now_ns(self) -> int:
        try:
            return round(trio.current_time() * S) + self.hand_ns
        except RuntimeError:
            return self.hand_ns

    def set_rate(self, rate_bps: int) -> None:
        self.rate_bps = rate_bps
        self.bucket.set_rate(rate_bps, self.now_ns())

    def fill(self) -> int:
        return self.bucket.fill(self.now_ns())


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def limiter(rows: Rows) -> Limiter:
    return Limiter(rows)


def test_tokens_are_granted_on_debt_once_and_then_waited_for(
    rows: Rows, limiter: Limiter
) -> None:
    with limiter.context("alice") as context:
        assert context.take(50_000) == 0
        assert context.take(50_000) == 50_000_000
        rows.hand_ns += 50_000_000
        assert context.take(50_000) == 0
        assert context.held_bytes == 100_000


def test_closing_gives_back_what_was_not_used_and_lets_the_row_go(
    rows: Rows, limiter: Limiter
) -> None:
    with limiter.context("alice") as context:
        assert rows.held == limiter.open == 1
        context.take(50_000)
        context.settle(20_000)
        context.refund(10_000)
        assert context.held_bytes == 20_000
        assert rows.fill() == -40_000
    assert rows.fill() == -20_000
    assert rows.moved_bytes == 20_000
    assert rows.held == limiter.open == limiter.leaked_total == 0
    context.close()
    assert rows.held == 0


def test_an_error_within_closes_it_too(rows: Rows, limiter: Limiter) -> None:
    def fail() -> None:
        with limiter.context("alice") as context:
            context.take(50_000)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert rows.fill() == 0
    assert rows.held == limiter.open == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "settle", "refund"]),
            st.integers(1, QUANTUM_MAX),
            st.integers(0, 3 * S),
        ),
        max_size=30,
    )
)
def test_no_token_is_lost_or_minted(steps: list[tuple[str, int, int]]) -> None:
    """A rate of one byte a nanosecond: the bucket counts without rounding."""
    rows = Rows(S)
    reference = _testing.TokenBucket(S, 0)
    with Limiter(rows).context("alice") as context:
        for call, n_bytes, pause_ns in steps:
            rows.hand_ns += pause_ns
            if call == "take":
                assert context.take(n_bytes) == reference.take(n_bytes, rows.hand_ns)
            elif n_bytes <= context.held_bytes:
                getattr(context, call)(n_bytes)
                if call == "refund":
                    reference.refund(n_bytes)
            else:
                with pytest.raises(ValueError, match="are not held"):
                    getattr(context, call)(n_bytes)
        held = context.held_bytes
    reference.refund(held)
    assert rows.fill() == reference.fill(rows.hand_ns)


def test_a_closed_context_takes_nothing(limiter: Limiter) -> None:
    with limiter.context("alice") as context:
        pass
    for call in (context.take, context.settle, context.refund):
        with pytest.raises(RuntimeError, match="of 'alice' is closed"):
            call(1)


def test_what_can_not_be_taken_is_refused_and_nothing_is_held(
    limiter: Limiter,
) -> None:
    with limiter.context("alice") as context:
        for n_bytes in (0, -1, QUANTUM_MAX + 1):
            with pytest.raises(ValueError, match="bytes"):
                context.take(n_bytes)
        for n_bytes in (1, -1):
            with pytest.raises(ValueError, match="are not held"):
                context.refund(n_bytes)
        assert context.held_bytes == 0
    with pytest.raises(ValueError, match="client_id"), limiter.context(""):
        pass
    assert limiter.open == 0


async def test_paying_keeps_the_rate(
    rows: Rows, limiter: Limiter, autojump_clock: MockClock
) -> None:
    start = trio.current_time()
    with limiter.context("alice") as context:
        for _ in range(40):
            await context.pay(250_000)
    seconds = trio.current_time() - start
    # 10 MB at 1 MB/s; the last quantum is paid afterwards.
    assert 9.9 <= seconds <= 10.0
    assert rows.moved_bytes == 10 * MB


async def test_a_payment_that_waits_sees_another_rate_soon(
    rows: Rows, limiter: Limiter, autojump_clock: MockClock
) -> None:
    rows.set_rate(1)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        with limiter.context("alice") as context:
            nursery.start_soon(context.pay, 100_000)
            await trio.sleep(10)
            rows.set_rate(100 * MB)
            await trio.sleep(0.2)
            assert rows.moved_bytes == 100_000
    assert trio.current_time() - start < 11


async def test_a_cancelled_payment_gives_back_what_it_had(
    rows: Rows, limiter: Limiter, autojump_clock: MockClock
) -> None:
    with limiter.context("alice") as context:
        with trio.move_on_after(2.01) as scope:
            await context.pay(100 * MB)
        assert scope.cancelled_caught
        assert context.held_bytes == 0
    assert rows.moved_bytes == 0
    assert rows.fill() == pytest.approx(2.01 * MB, rel=0.01)


async def test_paying_nothing_is_a_checkpoint_and_less_is_refused(
    limiter: Limiter,
) -> None:
    with limiter.context("alice") as context:
        with trio.testing.assert_checkpoints():
            await context.pay(0)
        with pytest.raises(ValueError, match="-1 is no number of bytes"):
            await context.pay(-1)


def leak(limiter: Limiter) -> int:
    """Returns the line on which the context is made."""
    context = limiter.context("alice")
    context.take(50_000)
    frame = inspect.currentframe()
    assert frame is not None
    return frame.f_lineno - 4


def test_a_leak_warns_of_the_place_where_it_was_made_and_is_counted(
    rows: Rows, limiter: Limiter, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = leak(limiter)
        gc.collect()
    [warning] = caught
    assert warning.category is ResourceWarning
    assert (warning.filename, warning.lineno) == (__file__, line)
    assert str(warning.message) == "rate context of 'alice' was never closed"
    assert isinstance(warning.source, RateContext)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert f"(made at {__file__}:{line})" in record.getMessage()
    assert limiter.leaked_total == 1
    assert rows.held == limiter.open == 0
    assert rows.fill() == 0, "what it held has gone back"


def test_a_context_that_was_closed_warns_of_nothing(limiter: Limiter) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with limiter.context("alice") as context:
            context.take(1)
        del context
        gc.collect()
    assert limiter.leaked_total == 0


def test_taking_tokens_allocates_nothing_that_stays(
    rows: Rows, limiter: Limiter
) -> None:
    def turns(n: int) -> None:
        for _ in range(n):
            rows.hand_ns += S
            assert context.take(50_000) == 0
            context.settle(20_000)
            context.refund(30_000)

    with limiter.context("alice") as context:
        turns(100)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            turns(10_000)
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # A few integers: the clock, the counters.
    assert after - before < 1000
    assert peak - before < 4000
