"""The estimate of a path's bandwidth: which samples count, for how long they do, and
that a limit does not drag it down."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

S = 10**9
MS = 10**6
MB = 10**6
BLOCKS = 8
RTT = 20 * MS


class Transfer:
    """Looked at once an RTT."""

    def __init__(self, rtt_ns: int = RTT, **rules: float) -> None:
        self.rtt = rtt_ns
        self.now = 100 * S
        self.estimate = _testing.PathEstimate(self.now, **rules)

    @property
    def bps(self) -> int:
        found: int = self.estimate.bps
        return found

    def send(
        self,
        bps: float,
        *,
        rtts: float = 1,
        retrans: int = 0,
        limited: bool = False,
        rtt_ns: int | None = None,
    ) -> bool:
        elapsed = round(self.rtt * rtts)
        self.now += elapsed
        taken: bool = self.estimate.sample(
            self.now,
            round(bps * elapsed / S),
            self.rtt if rtt_ns is None else rtt_ns,
            self.rtt,
            retrans,
            limited,
        )
        return taken


def test_acknowledged_bytes_in_one_rtt_are_the_first_estimate() -> None:
    transfer = Transfer()
    assert transfer.bps == 0
    assert transfer.send(MB)
    assert transfer.bps == MB


def test_a_longer_interval_is_the_same_rate_seen_for_longer() -> None:
    transfer = Transfer()
    assert transfer.send(MB, rtts=7.5)
    assert transfer.bps == MB


def test_looks_within_an_rtt_are_one_sample() -> None:
    transfer = Transfer()
    assert [transfer.send(bps, rtts=0.25) for bps in (4 * MB, 0, 0, 0)] == [
        False,
        False,
        False,
        True,
    ]
    assert transfer.bps == MB


def test_a_sample_has_15_percent_of_the_say() -> None:
    transfer = Transfer()
    transfer.send(MB)
    transfer.send(2 * MB)
    assert transfer.estimate.smoothed_bps == pytest.approx(1.15 * MB)
    transfer.send(0)
    assert transfer.estimate.smoothed_bps == pytest.approx(0.85 * 1.15 * MB)
    assert transfer.bps == pytest.approx(1.15 * MB), "the most of the window"


@pytest.mark.parametrize(
    ("retrans", "rtt_ns", "taken"),
    [
        (0, RTT, True),
        (1, RTT, False),
        (0, 2 * RTT - 1, True),
        (0, 2 * RTT, False),
        (0, 0, False),
    ],
)
def test_retransmissions_and_a_doubled_rtt_spoil_a_sample(
    retrans: int, rtt_ns: int, taken: bool
) -> None:
    transfer = Transfer()
    assert transfer.send(MB, rtts=2, retrans=retrans, rtt_ns=rtt_ns) is taken
    assert transfer.bps == (MB if taken else 0)
    assert transfer.send(2 * MB), "the next one is another"
    assert transfer.bps == pytest.approx(1.15 * MB if taken else 2 * MB)


def test_what_spoils_a_part_of_an_interval_spoils_all_of_it() -> None:
    transfer = Transfer()
    assert not transfer.send(MB, rtts=0.5, retrans=1)
    assert not transfer.send(MB, rtts=0.5)
    assert transfer.bps == 0
    assert not transfer.send(MB, rtts=0.5, rtt_ns=2 * RTT)
    assert not transfer.send(MB, rtts=0.5)
    assert transfer.bps == 0


def test_a_limited_sample_raises_and_never_lowers() -> None:
    transfer = Transfer()
    assert transfer.send(MB, limited=True), "the first one is more than nothing"
    assert transfer.send(2 * MB, limited=True)
    high = transfer.bps
    assert high == pytest.approx(1.15 * MB)
    for _ in range(1000):
        assert not transfer.send(MB, limited=True)
    assert transfer.bps == high, "nor does it push the maximum out of the window"
    assert transfer.send(MB / 2), "the next interval is another"


def test_a_partly_limited_interval_is_a_limited_one() -> None:
    transfer = Transfer()
    transfer.send(MB)
    transfer.send(0.1 * MB, rtts=0.5, limited=True)
    assert not transfer.send(0.1 * MB, rtts=0.5)
    assert transfer.bps == MB


@pytest.mark.parametrize(
    ("srtt_ms", "window"),
    [(0, 8), (1, 8), (89, 8), (90, 9), (250, 25), (640, 64), (650, 64), (10_000, 64)],
)
def test_the_window_grows_with_the_rtt(srtt_ms: int, window: int) -> None:
    estimate = _testing.PathEstimate(0)
    assert estimate.window(srtt_ms * MS) == window


def remembered(transfer: Transfer) -> int:
    """After how many samples of half the rate the full one is forgotten."""
    transfer.send(MB)
    for n in range(1, 200):
        transfer.send(MB / 2)
        if transfer.bps < MB * 0.99:
            return n
    raise AssertionError("never")


@pytest.mark.parametrize("window", range(8, 65))
def test_a_maximum_is_remembered_for_a_window_give_or_take_less_than_a_block(
    window: int,
) -> None:
    block = -(-window // BLOCKS)
    transfer = Transfer(rtt_ns=window * 10 * MS)
    assert abs(remembered(transfer) - window) < block


def test_the_shortest_window_is_exact() -> None:
    assert remembered(Transfer()) == 8


def test_a_transfers_estimate_is_a_line_of_memory() -> None:
    assert _testing.ESTIMATOR_BYTES <= 64


samples = st.lists(
    st.tuples(st.floats(0, 1e10), st.integers(0, 1), st.booleans(), st.floats(0.1, 9)),
    max_size=150,
)


@given(st.integers(MS, 2 * S), samples)
def test_the_estimate_is_never_more_than_the_most_that_was_acknowledged(
    rtt_ns: int, samples: list[tuple[float, int, bool, float]]
) -> None:
    transfer = Transfer(rtt_ns)
    most = 0.0
    for bps, retrans, limited, rtts in samples:
        most = max(most, bps)
        transfer.send(bps, retrans=retrans, limited=limited, rtts=rtts)
        assert 0 <= transfer.bps <= most * (1 + 1e-6) + S / rtt_ns


@given(st.integers(8, 64), st.lists(st.floats(1e3, 1e9), min_size=1, max_size=200))
def test_the_maximum_lies_between_those_of_windows_a_block_apart(
    window: int, rates: list[float]
) -> None:
    transfer = Transfer(rtt_ns=window * 10 * MS)
    block = -(-window // BLOCKS)
    smoothed: list[float] = []
    for bps in rates:
        transfer.send(bps)
        smoothed.append(transfer.estimate.smoothed_bps)
        shorter = max(smoothed[-(window - block + 1) :])
        longer = max(smoothed[-(window + block - 1) :])
        assert shorter * (1 - 1e-6) - 1 <= transfer.bps <= longer * (1 + 1e-6)


@given(st.integers(1, 350), st.floats(1e5, 1e9), st.floats(0.1, 20))
def test_a_step_of_the_capacity_is_followed_to_5_percent_within_30_seconds(
    rtt_ms: int, before: float, factor: float
) -> None:
    """Up to an RTT of 350 ms: a drop is believed when the window has passed."""
    transfer = Transfer(rtt_ns=max(rtt_ms, 50) * MS)  # looked at every 50 ms
    for _ in range(100):
        transfer.send(before)
    change = transfer.now
    while transfer.now < change + 30 * S:
        transfer.send(before * factor)
    assert transfer.bps == pytest.approx(before * factor, rel=0.05)


@given(st.integers(1, 1000), st.floats(1e4, 1e9))
def test_a_constant_rate_is_a_constant_estimate(rtt_ms: int, bps: float) -> None:
    transfer = Transfer(rtt_ns=rtt_ms * MS)
    for _ in range(150):
        transfer.send(bps)
        assert transfer.bps == pytest.approx(bps, rel=1e-4, abs=S / transfer.rtt)


def test_an_absurd_sample_is_no_overflow() -> None:
    transfer = Transfer(rtt_ns=1)
    assert transfer.estimate.sample(transfer.now + 1, 10**15, 1, 1)
    assert transfer.bps == pytest.approx(_testing.RATE_MAX)


def test_an_idle_transfer_keeps_its_estimate_for_ten_hours() -> None:
    transfer = Transfer()
    transfer.send(MB)
    for _ in range(36_000):
        transfer.send(0, rtts=S / RTT, limited=True)
    assert transfer.bps == MB
