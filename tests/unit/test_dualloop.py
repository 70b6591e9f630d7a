"""The controller: cuts for loss and for marks, grows where it held, and leaves alone
whoever meets neither."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from penstock import _testing
from tests.unit.simulated_path import MS, MSS, S

MB = 10**6
RTT = 40 * MS
QUANTUM = 25_000
ESTIMATE = 10 * MB
FLOOR = 2 * MSS
USED = ESTIMATE * RTT // S  # under way at the estimate
MOST = 1 << 40

CLEAN = {
    "elapsed_ns": RTT,
    "srtt_ns": RTT,
    "min_rtt_ns": RTT,
    "mss_bytes": MSS,
    "connections": 1,
    "quantum_bytes": QUANTUM,
    "estimate_bps": ESTIMATE,
    "current_bps": 0,
    "acked_bps": 0,
    "retrans_delta": 0,
    "ce_delta": 0,
    "limited": True,
}


class Client:
    """Has a round each RTT."""

    def __init__(self, **rules: float) -> None:
        self.now = 100 * S
        self.controller = _testing.Controller(self.now, **rules)

    @property
    def window(self) -> int:
        found: int = self.controller.window_bytes
        return found

    def round(self, **sample: int) -> str:
        shown = CLEAN | sample
        self.now += shown["elapsed_ns"]
        change: str = self.controller.round(self.now, shown)
        return change

    def rounds(self, n: int, **sample: int) -> list[str]:
        return [change for _ in range(n) if (change := self.round(**sample))]

    def loss(self, **sample: int) -> str:
        return self.round(retrans_delta=1, **sample)


def cut() -> Client:
    client = Client()
    assert client.loss() == "loss"
    assert client.window == USED // 2
    return client


def test_without_loss_or_marks_there_is_no_limit() -> None:
    client = Client()
    assert client.rounds(1000) == []
    assert client.rounds(1000, estimate_bps=0) == []
    assert client.rounds(1000, limited=False) == []
    assert client.controller.rate_bps == 0


def test_the_first_loss_halves_what_the_path_was_carrying() -> None:
    client = cut()
    assert client.controller.rate_bps == ESTIMATE // 2


def test_what_was_sent_stands_in_where_nothing_is_estimated() -> None:
    client = Client()
    assert client.loss(estimate_bps=0, current_bps=6 * MB) == "loss"
    assert client.controller.rate_bps == 3 * MB


def test_with_nothing_known_there_is_nothing_to_cut() -> None:
    client = Client()
    assert client.loss(estimate_bps=0) == ""
    assert client.controller.rate_bps == 0


def test_what_is_cut_is_what_was_used_not_what_was_allowed() -> None:
    client = cut()
    client.round(limited=False)
    client.loss(estimate_bps=MB)
    assert client.window == MB * RTT // S // 2


def test_a_window_that_is_smaller_than_the_estimate_is_cut_itself() -> None:
    client = cut()
    client.round(limited=False)
    client.loss(estimate_bps=100 * MB)
    assert client.window == USED // 4


@pytest.mark.parametrize(
    ("retrans", "change"), [(0, "grew"), (1, "loss"), (99, "loss")]
)
def test_any_retransmission_in_a_round_is_a_loss(retrans: int, change: str) -> None:
    client = cut()
    client.round(limited=False)
    assert client.round(retrans_delta=retrans) == change


def test_losses_of_one_round_trip_cut_once() -> None:
    client = cut()
    assert client.rounds(2, elapsed_ns=RTT, retrans_delta=1) == ["loss"]
    again = Client()
    changes = [again.loss() for _ in range(20)]
    assert changes == ["loss", ""] * 10, "a cut shows a round trip later"


@pytest.mark.parametrize(
    ("connections", "retrans", "kept"),
    [(1, 1, 1 / 2), (4, 1, 7 / 8), (4, 3, 5 / 8), (4, 4, 1 / 2), (4, 99, 1 / 2)],
)
def test_a_loss_halves_the_part_of_one_connection(
    connections: int, retrans: int, kept: float
) -> None:
    client = Client()
    lossy = {"connections": connections, "retrans_delta": retrans}
    assert client.round(**lossy, limited=False) == "loss"
    assert client.window == int(kept * USED)


def test_those_that_lost_nothing_grow_but_their_sum_not_above_what_lost() -> None:
    client = Client()
    client.round(connections=4, retrans_delta=1)
    assert client.window == USED * 7 // 8 + 3 * MSS
    client.round(connections=4, limited=False)
    client.round(connections=4, limited=False, retrans_delta=4)
    window = client.window
    client.round(connections=400, limited=False)
    client.round(connections=400, retrans_delta=1)
    assert client.window == max(window, 400 * FLOOR)


def test_marks_are_of_all_connections() -> None:
    """A path that marks does not choose among them, and classic ECN repeats itself."""
    client = Client()
    client.rounds(3, ce_delta=1, connections=4)
    assert client.window == USED * 3 // 10


def test_each_connection_grows_by_a_segment_and_has_a_floor_of_two() -> None:
    client = cut()
    window = client.window
    client.round(connections=4)
    assert client.window == window + 4 * MSS
    client.rounds(60, connections=4, retrans_delta=4)
    assert client.window == 4 * FLOOR


@pytest.mark.parametrize(("share", "change"), [(1.25, "loss"), (1.26, "")])
def test_what_lay_in_buffers_when_the_window_was_cut_does_not_cut_it_again(
    share: float, change: str
) -> None:
    client = cut()
    client.round(limited=False, acked_bps=int(share * ESTIMATE / 2))
    assert client.loss() == change
    assert client.loss() == ("" if change else "loss"), "an RTT later"


def test_in_a_round_with_loss_or_a_mark_nothing_grows() -> None:
    client = cut()
    window = client.window
    assert client.loss() == ""
    assert client.rounds(2, ce_delta=1) == []
    assert client.window == window


def test_windows_do_not_shrink_below_two_segments() -> None:
    client = Client()
    client.rounds(60, retrans_delta=1)
    assert client.window == FLOOR
    assert client.controller.rate_bps == FLOOR * S // RTT


@pytest.mark.parametrize(
    ("marks", "changes"),
    [
        ([1, 1], []),
        ([1, 1, 1], ["ce"]),
        ([1, 1, 0, 1, 1, 0, 1, 1], []),
        ([9, 1, 1000, 1, 1], ["ce"]),
        ([1] * 6, ["ce"] * 2),
    ],
)
def test_marks_in_three_rounds_on_end_cut_to_30_percent(
    marks: list[int], changes: list[str]
) -> None:
    client = Client()
    assert [c for n in marks if (c := client.round(ce_delta=n))] == changes
    if changes == ["ce"]:
        assert client.window == USED * 3 // 10


def test_how_much_marks_cut_can_be_set() -> None:
    client = Client(ce_keeps=0.8)
    client.rounds(3, ce_delta=1)
    assert client.window == USED * 8 // 10


def test_a_cut_for_loss_begins_the_count_of_marks_anew() -> None:
    client = Client()
    client.rounds(2, ce_delta=1)
    assert client.round(ce_delta=1, retrans_delta=1) == "loss"
    assert client.rounds(2, ce_delta=1) == []
    assert client.round(ce_delta=1) == "ce"


def test_it_grows_by_a_segment_an_rtt_up_to_ssthresh_and_then_by_a_quantum() -> None:
    client = cut()
    assert client.controller.ssthresh_bytes == USED * 8 // 10
    window = client.window
    client.round()
    assert client.window == window + MSS
    client.round(elapsed_ns=5 * RTT // 2)
    assert client.window == window + MSS + 5 * MSS // 2
    while client.window < USED * 8 // 10:
        client.round()
    window = client.window
    client.round()
    assert client.window == window + QUANTUM


@pytest.mark.parametrize(("rtts", "quantum"), [(50, QUANTUM), (1, 1 << 20)])
def test_a_round_adds_at_most_an_eighth_of_the_window(rtts: int, quantum: int) -> None:
    client = cut()
    client.rounds(200)
    assert client.window > USED
    window = client.window
    client.round(elapsed_ns=rtts * RTT, quantum_bytes=quantum)
    assert client.window == window + window // 8


def test_the_smallest_window_still_grows_by_a_segment() -> None:
    client = Client()
    client.rounds(60, retrans_delta=1)
    client.round(elapsed_ns=10 * RTT)
    assert client.window == FLOOR + MSS


def test_only_a_window_that_held_the_client_grows() -> None:
    client = cut()
    assert client.rounds(1000, limited=False) == []
    assert client.window == USED // 2
    assert client.round() == "grew"


def test_a_round_is_at_least_an_rtt() -> None:
    client = cut()
    assert client.round(elapsed_ns=RTT - 1) == "early"
    assert client.round(elapsed_ns=RTT - 1, retrans_delta=1) == "early"
    assert client.round(srtt_ns=0) == "early"
    assert client.window == USED // 2


def test_the_rate_falls_when_the_rtt_grows() -> None:
    client = cut()
    client.round(srtt_ns=2 * RTT, elapsed_ns=2 * RTT, limited=False)
    assert client.controller.rate_bps == ESTIMATE // 4


def test_an_absurd_rtt_is_no_overflow() -> None:
    client = Client()
    client.loss(estimate_bps=10**12, srtt_ns=10 * S, elapsed_ns=10 * S)
    client.round(srtt_ns=1, limited=False)
    assert client.controller.rate_bps == _testing.RATE_MAX


def test_a_standing_queue_is_not_part_of_the_bandwidth_delay_product() -> None:
    client = Client()
    client.loss(srtt_ns=3 * RTT, elapsed_ns=3 * RTT)
    assert client.window == 3 * USED // 2
    assert client.controller.ssthresh_bytes == USED * 8 // 10
    client.round(estimate_bps=2 * ESTIMATE)
    assert client.controller.ssthresh_bytes == 2 * USED * 8 // 10, "once it is known"


def test_an_estimate_from_before_the_path_shrank_does_not_slow_the_way_back() -> None:
    client = cut()
    client.round(limited=False)
    client.loss()
    client.round()
    assert client.window == USED // 4 + MSS
    assert client.controller.ssthresh_bytes == USED // 2 * 8 // 10


def test_its_own_limit_does_not_ratchet_it_down() -> None:
    """Delivery is never more than the limit, and the estimate a maximum of it."""
    client = cut()
    estimate = _testing.PathEstimate(client.now)
    for _ in range(10):
        rate = client.controller.rate_bps
        estimate.sample(client.now + RTT, rate * RTT // S, RTT, RTT, 0, True)
        client.round(estimate_bps=estimate.bps)
    assert client.window == USED // 2 + 10 * MSS


def test_after_a_minute_without_a_round_there_is_no_limit_again() -> None:
    client = cut()
    client.now += 60 * S - 2 * RTT
    client.round(limited=False)
    assert client.window
    client.now += 60 * S
    client.round(limited=False)
    assert client.controller.rate_bps == 0


def test_an_idle_client_is_never_moved_in_ten_hours() -> None:
    client = cut()
    second = {"elapsed_ns": S, "limited": False, "current_bps": 0}
    assert client.rounds(36_000, **second) == []
    assert client.window == USED // 2


rounds = st.lists(
    st.fixed_dictionaries(
        {
            "elapsed_ns": st.integers(0, 10 * S),
            "srtt_ns": st.sampled_from([0, 1, MS, RTT, 10 * S]),
            "mss_bytes": st.sampled_from([1, MSS, 65_536]),
            "connections": st.sampled_from([1, 4, 10_000]),
            "quantum_bytes": st.sampled_from([512, QUANTUM, 1 << 20]),
            "estimate_bps": st.integers(0, 10**12),
            "current_bps": st.integers(0, 10**12),
            "acked_bps": st.integers(0, 10**12),
            "retrans_delta": st.sampled_from([0, 0, 0, 1, 10**6]),
            "ce_delta": st.sampled_from([0, 0, 1, 10**6]),
            "limited": st.booleans(),
        }
    ),
    max_size=100,
)


@given(rounds)
def test_windows_are_bounded_and_move_as_the_answer_says(
    rounds: list[dict[str, int]],
) -> None:
    client = Client()
    for sample in rounds:
        before = client.window
        change = client.round(**sample)
        floor = 2 * sample["mss_bytes"] * sample["connections"]
        assert 0 <= client.window <= MOST
        if change in ("loss", "ce"):
            assert client.window >= floor
            assert before == 0 or client.window <= max(before, floor)
        elif change == "grew":
            most = max(before // 8, sample["mss_bytes"] * sample["connections"])
            assert before <= client.window <= before + most
        else:
            assert client.window in (before, 0)
        assert (client.controller.rate_bps > 0) == (client.window > 0)
        assert client.controller.rate_bps <= _testing.RATE_MAX
