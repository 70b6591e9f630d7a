"""The adaptive target: it makes good what was not delivered, within bounds, one step in
ten seconds; and nobody who does not ask for more gets more."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

S = 10**9
MB = 10**6
RATE = 10 * MB
SLOTS = _testing.SLOTS
FLOOR_BPS = 125_000
START = 100 * S

Slot = dict[str, int]
UNDER_DELIVERED = {
    "backlogged": True,
    "stock_low": True,
    "exhausted": True,
    "bound_by_own": True,
    "cut": False,
    "allowed_bps": 0,
}
IDLE = UNDER_DELIVERED | {"backlogged": False, "stock_low": False, "exhausted": False}


class Client:
    """A target, and a clock of whole seconds."""

    def __init__(self, rate_bps: int = RATE, **rules: float) -> None:
        self.rate = rate_bps
        self.now = START
        self.adaptive = _testing.AdaptiveTarget(rate_bps, self.now, **rules)

    @property
    def target(self) -> int:
        found: int = self.adaptive.target_bps
        return found

    def second(self, n_bytes: float, **slot: int) -> str:
        self.now += S
        shown = UNDER_DELIVERED | slot | {"bytes": int(n_bytes), "rate_bps": self.rate}
        change: str = self.adaptive.slot(self.now, shown)
        return change

    def seconds(self, n: int, n_bytes: float, **slot: int) -> list[str]:
        return [change for _ in range(n) if (change := self.second(n_bytes, **slot))]

    def set_rate(self, rate_bps: int) -> None:
        self.rate = rate_bps
        self.adaptive.rate_changed(rate_bps, self.now)

    def lower_to_the_floor(self) -> None:
        while self.target > max(0.25 * self.rate, FLOOR_BPS) + 1:
            self.second(2 * self.rate)


def lowered() -> Client:
    """That may regain what it lost."""
    client = Client()
    client.lower_to_the_floor()
    return client


def until(client: Client, n_bytes: float, **slot: bool) -> int:
    """Seconds until the target changes."""
    for second in range(1, 1000):
        if client.second(n_bytes, **slot):
            return second
    raise AssertionError("it never changed")


@pytest.mark.parametrize(
    ("share", "change"),
    [
        (0.0, "raised"),
        (0.8499, "raised"),
        (0.8501, ""),
        (1.0, ""),
        (1.1999, ""),
        (1.2001, "lowered"),
        (5.0, "lowered"),
    ],
)
def test_a_mean_outside_of_85_to_120_percent_moves_the_target(
    share: float, change: str
) -> None:
    client = Client()
    client.second(2 * RATE)
    client.seconds(9, 2 * RATE)
    assert client.target == RATE * 97 // 100, "so that there is room above"
    changes = client.seconds(SLOTS, share * client.target)
    assert changes == ([change] if change else [])


def test_steps_are_5_percent_up_and_3_percent_down() -> None:
    client = Client()
    client.seconds(SLOTS, 2 * RATE)
    assert client.target == 9_700_000
    client.seconds(SLOTS, 2 * RATE)
    assert client.target == 9_409_000
    client.seconds(SLOTS, 0.5 * client.target)
    assert client.target == 9_879_450
    client.seconds(SLOTS, 0.5 * client.target)
    assert client.target == RATE, "not above the rate"


@pytest.mark.parametrize(
    "other",
    [
        {"backlogged": False},
        {"stock_low": False},
        {"bound_by_own": False},
        {"cut": True},
    ],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.parametrize("at", [0, 5, 9])
def test_one_second_that_explains_the_shortfall_prevents_a_raise(
    other: dict[str, bool], at: int
) -> None:
    client = lowered()
    target = client.target
    for second in range(SLOTS):
        assert client.second(0.5 * target, **(other if second == at else {})) == ""
    assert until(client, 0.5 * target) == at + 1, "ten on end since then"


def test_a_raise_is_counted_as_a_sign_of_what_was_not_delivered() -> None:
    client = lowered()
    assert client.adaptive.raises == 0
    client.seconds(30, 0.5 * client.target)
    assert client.adaptive.raises == 3


def test_a_step_waits_for_ten_seconds_that_are_younger_than_the_last() -> None:
    client = Client()
    assert until(client, 2 * RATE) == SLOTS
    assert until(client, 2 * RATE) == SLOTS
    assert until(client, 0) == SLOTS


def test_a_second_in_which_the_target_changed_is_not_one_of_the_ten() -> None:
    client = Client()
    client.now += S // 2
    assert until(client, 2 * RATE) == SLOTS
    client.now += S // 20  # the pass comes a little later from now on
    assert until(client, 2 * RATE) == SLOTS + 1


def test_a_fresh_burst_is_no_reason_to_lower() -> None:
    """A full bucket and all tokens since: 12 seconds' worth in ten, and in the first
    nine of them already 122 % of what nine would have."""
    client = Client()
    client.seconds(60, 0, **IDLE)
    assert client.second(3 * RATE) == ""
    assert client.seconds(20, RATE) == []


def test_silent_seconds_that_nobody_told_of_count_in_the_mean() -> None:
    client = Client()
    client.seconds(SLOTS, RATE)
    for _ in range(5):
        assert client.second(2.1 * RATE) == ""
        client.now += S
    assert client.second(RATE) == ""
    assert client.adaptive.mean_bps == (4 * 2.1 + 1) * RATE / SLOTS


def test_a_silent_second_that_nobody_told_of_prevents_a_raise() -> None:
    client = lowered()
    client.seconds(5, 0.5 * client.target)
    client.now += S
    assert until(client, 0.5 * client.target) == SLOTS


def test_a_second_that_is_told_twice_counts_once() -> None:
    client = Client()
    for _ in range(SLOTS - 1):
        client.second(2 * RATE)
        client.now -= S
        assert client.second(2 * RATE) == ""
    assert client.second(2 * RATE) == "lowered"


def test_silence_in_the_second_of_a_change_is_no_evidence_either() -> None:
    client = Client()
    client.now += S // 2
    client.set_rate(2 * RATE)
    client.now += 5 * S - S // 2  # one second of the change, and four more
    assert until(client, 20 * RATE) == SLOTS - 4


def test_seconds_before_a_change_of_the_rate_are_no_evidence() -> None:
    client = Client()
    client.seconds(9, RATE)
    client.set_rate(RATE // 2)
    assert client.seconds(20, RATE // 2) == []
    client.seconds(9, RATE // 2)
    client.set_rate(2 * RATE)
    assert client.seconds(20, 2 * RATE) == []


def test_too_much_after_the_rate_was_lowered_is_lowered_further() -> None:
    client = Client()
    client.seconds(20, RATE)
    client.set_rate(RATE // 2)
    assert until(client, RATE) == SLOTS
    assert client.target == RATE // 2 * 97 // 100


def test_a_debt_that_is_paid_in_bytes_lowers() -> None:
    client = Client()
    client.seconds(5, RATE)
    changes = client.seconds(10, 1.5 * RATE)  # what no token paid
    assert changes == ["lowered"]


@pytest.mark.parametrize("rate", [1, 1000, 125_000, 400_000, 500_000, RATE, 10**12])
def test_the_floor_is_a_quarter_of_the_rate_but_not_below_1_mbit(rate: int) -> None:
    client = Client(rate)
    client.seconds(1000, 3 * rate)
    assert client.target == max(rate // 4, min(rate, FLOOR_BPS))


@pytest.mark.parametrize(
    ("ceil_share", "most"), [(1.0, 1.0), (1.3, 1.3), (2.0, 2.0), (3.0, 2.0)]
)
def test_the_ceiling_is_the_rate_or_what_was_set_up_to_twice_the_rate(
    ceil_share: float, most: float
) -> None:
    client = Client(ceil_share=ceil_share)
    client.seconds(300, 0)
    assert client.target == most * RATE


def test_after_a_minute_of_idling_the_target_is_the_rate_again() -> None:
    client = lowered()
    low = client.target
    assert client.seconds(59, 0, **IDLE) == []
    assert client.target == low
    assert client.second(0, **IDLE) == "reset"
    assert client.target == RATE
    above = Client(ceil_share=2.0)
    above.seconds(300, 0)
    assert above.seconds(60, 0, **IDLE) == ["reset"]
    assert above.target == RATE


def test_a_client_that_comes_back_is_not_held_to_an_old_target() -> None:
    client = lowered()
    assert client.adaptive.idle(client.now + 60 * S - 1) == ""
    assert client.adaptive.idle(client.now + 60 * S) == "reset"
    assert client.target == RATE
    other = lowered()
    other.now += 3600 * S
    assert other.second(RATE) == "reset"
    assert other.seconds(20, RATE) == []


def test_waiting_without_a_byte_is_not_idling() -> None:
    client = lowered()
    client.second(RATE)
    assert "reset" not in client.seconds(70, 0)


@pytest.mark.parametrize("seconds", [60, 600, 36_000])
def test_an_idle_client_is_never_moved(seconds: int) -> None:
    client = Client(ceil_share=2.0)
    assert client.seconds(seconds, 0, **IDLE) == []
    assert client.target == RATE


@pytest.mark.parametrize("share", [0.01, 0.5, 0.8])
def test_whoever_reads_slowly_is_never_moved(share: float) -> None:
    client = Client(ceil_share=2.0)
    stocked = {"stock_low": False, "exhausted": False}
    assert client.seconds(36_000, share * RATE, **stocked) == []


def test_a_changed_rate_keeps_the_targets_proportion_within_its_bounds() -> None:
    client = Client()
    client.seconds(SLOTS, 2 * RATE)
    client.set_rate(3 * RATE)
    assert client.target == 3 * 9_700_000
    client.lower_to_the_floor()
    client.set_rate(300_000)
    assert client.target == FLOOR_BPS
    client.set_rate(1000)
    assert client.target == 1000


def test_without_a_rate_there_is_no_target() -> None:
    client = Client(0)
    assert client.seconds(100, RATE) == []
    assert client.target == 0
    client.set_rate(RATE)
    assert client.target == RATE
    client.lower_to_the_floor()
    client.set_rate(0)
    assert client.target == 0


def test_the_rate_that_a_second_tells_holds() -> None:
    client = Client()
    client.rate = 2 * RATE
    client.second(RATE)
    assert client.target == 2 * RATE


@pytest.mark.parametrize(
    ("fill", "capacity", "quantum", "low"),
    [
        (-100, 2 * MB, 25_000, True),
        (100_000, 2 * MB, 25_000, True),
        (100_001, 2 * MB, 25_000, False),
        (150_000, 2 * MB, 150_000, True),
        (150_001, 2 * MB, 150_000, False),
    ],
)
def test_low_is_a_stock_of_a_quantum_or_5_percent(
    fill: int, capacity: int, quantum: int, low: bool
) -> None:
    assert _testing.stock_low(fill, capacity, quantum) is low


flags = st.fixed_dictionaries({name: st.booleans() for name in UNDER_DELIVERED})
seconds = st.lists(
    st.tuples(
        st.floats(0, 4),
        flags,
        st.sampled_from([0, 0, 0, S // 3, 5 * S, 61 * S]),
        st.sampled_from([None, None, None, None, 0.1, 3.0]),
    ),
    max_size=200,
)


@given(st.integers(1, 10**12), st.floats(0.25, 3), seconds)
def test_the_target_stays_in_its_bounds_and_moves_at_most_once_in_ten_seconds(
    rate: int,
    ceil_share: float,
    steps: list[tuple[float, dict[str, bool], int, float | None]],
) -> None:
    client = Client(rate, ceil_share=ceil_share)
    moved = START
    for share, slot, pause, scale in steps:
        client.now += pause
        if scale is not None:
            client.set_rate(max(int(client.rate * scale) % 10**12, 1))
            moved = client.now
        change = client.second(share * client.rate, **slot)
        if change in ("raised", "lowered"):
            assert client.now - moved >= SLOTS * S
        if change:
            moved = client.now
        ceil = int(client.rate * min(ceil_share, 2.0))
        floor = max(int(0.25 * client.rate), min(client.rate, FLOOR_BPS))
        assert min(floor, ceil) <= client.target <= max(ceil, client.rate)


@given(st.integers(10**4, 10**10), st.floats(0.86, 1.19))
def test_a_constant_load_within_the_band_never_moves_the_target(
    rate: int, share: float
) -> None:
    client = Client(rate)
    assert client.seconds(300, share * rate) == []


@given(st.integers(10**6, 10**10), st.floats(0.3, 3))
def test_under_a_constant_load_the_target_moves_one_way_and_stops(
    rate: int, share: float
) -> None:
    client = Client(rate, ceil_share=2.0)
    changes = client.seconds(600, share * rate)
    assert len(set(changes)) <= 1
    assert client.seconds(600, share * rate) == []
