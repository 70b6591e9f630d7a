"""The breaker: what trips it, how it recovers, when it freezes, and what it allows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

S = 10**9
MB = 10**6
RATE = 10 * MB
SAMPLE_S = 2
SEGMENTS = 1000
ROW_S = 30
CLEAN_S = 120
FREEZE_S = 300
BAD, MIDDLING, CLEAN = 0.15, 0.149, 0.049


class Client:
    """Has a sample every two seconds, and a tick before each."""

    def __init__(self, rate_bps: int = RATE, **rules: float) -> None:
        self.rate = rate_bps
        self.current = rate_bps or RATE
        self.now = 100 * S
        self.breaker = _testing.CircuitBreaker(self.now, **rules)

    @property
    def state(self) -> str:
        found: str = self.breaker.state
        return found

    @property
    def limit(self) -> int:
        found: int = self.breaker.limit_bps(self.rate)
        return found

    def tick(self, seconds: float = 0) -> str:
        self.now += round(seconds * S)
        change: str = self.breaker.tick(self.now)
        return change

    def sample(self, loss: float, segments: int = SEGMENTS) -> str:
        ticked = self.tick(SAMPLE_S)
        retrans = round(loss * segments)
        change: str = self.breaker.sample(
            self.now, segments, retrans, self.current, self.rate
        )
        return ticked or change

    def samples(self, n: int, loss: float, segments: int = SEGMENTS) -> list[str]:
        return [change for _ in range(n) if (change := self.sample(loss, segments))]

    def wait(self, seconds: float) -> list[str]:
        """Twenty ticks a second, and no samples."""
        ticks = round(seconds * 20)
        return [change for _ in range(ticks) if (change := self.tick(0.05))]

    def trip(self) -> str:
        [change] = self.samples(5, BAD)
        return change

    def recover(self) -> None:
        self.wait(CLEAN_S)
        self.samples(15, CLEAN)
        assert self.state == "closed"


def half_open() -> Client:
    client = Client()
    client.trip()
    client.wait(CLEAN_S)
    assert client.state == "half_open"
    return client


@pytest.mark.parametrize(
    ("losses", "state"),
    [
        ([0.15] * 4, "closed"),
        ([0.15] * 5, "degraded"),
        ([0.149] * 100, "closed"),
        ([1.0] * 5, "degraded"),
        ([0.9, 0, 0, 0, 0] * 20, "closed"),
        ([0.9, 0.9, 0.9, 0.9, 0.14] * 20, "closed"),
        ([0.9] * 4 + [0.0] + [0.9] * 5, "degraded"),
    ],
)
def test_five_samples_on_end_with_15_percent_loss_trip(
    losses: list[float], state: str
) -> None:
    client = Client()
    for loss in losses:
        client.sample(loss)
    assert client.state == state


@pytest.mark.parametrize(("segments", "trips"), [(49, False), (50, True)])
def test_small_samples_do_not_count(segments: int, trips: bool) -> None:
    client = Client()
    client.samples(5, 0.5, segments)
    assert (client.state == "degraded") is trips


def test_small_samples_neither_count_nor_end_a_row() -> None:
    client = Client()
    client.samples(4, BAD)
    client.samples(3, 0.0, 49)
    client.samples(3, 1.0, 49)
    assert client.state == "closed"
    assert client.sample(BAD) == "tripped"


@pytest.mark.parametrize(("pause", "state"), [(27, "degraded"), (28, "closed")])
def test_a_row_ends_30_seconds_after_its_last_counted_sample(
    pause: float, state: str
) -> None:
    client = Client()
    client.samples(4, BAD)
    client.wait(pause)
    client.sample(BAD)
    assert client.state == state


@pytest.mark.parametrize(
    ("rate", "current", "limit"),
    [
        (RATE, RATE, 4 * MB),
        (RATE, 4 * MB + 1, 4 * MB),
        (RATE, 3 * MB, 3 * MB),
        (RATE, 0, 4096),
        (5000, 0, 2000),
        (1, 1, 1),
        (0, RATE, 4 * MB),
        (0, 0, 4096),
    ],
)
def test_degraded_is_what_it_was_sent_or_40_percent_of_its_rate(
    rate: int, current: int, limit: int
) -> None:
    client = Client(rate)
    assert client.limit == 0
    client.current = current
    client.trip()
    assert client.limit == limit


def test_a_lower_rate_lowers_what_degraded_allows_and_a_higher_does_not_raise_it() -> (
    None
):
    client = Client()
    client.trip()
    assert client.breaker.limit_bps(RATE // 2) == 2 * MB
    assert client.breaker.limit_bps(2 * RATE) == 4 * MB
    assert client.breaker.limit_bps(0) == 4 * MB


@pytest.mark.parametrize(("loss", "opens"), [(0.05, False), (0.049, True)])
def test_two_minutes_without_5_percent_loss_open_it_half(
    loss: float, opens: bool
) -> None:
    client = Client()
    client.trip()
    client.samples(CLEAN_S // SAMPLE_S, loss)
    assert (client.state == "half_open") is opens


def test_every_sample_that_is_not_clean_begins_the_two_minutes_anew() -> None:
    client = Client()
    client.trip()
    client.samples(58, CLEAN)
    client.sample(0.05)
    assert client.samples(59, CLEAN) == []
    assert client.sample(CLEAN) == "half_open"


def test_small_samples_do_not_keep_it_degraded() -> None:
    client = Client()
    client.trip()
    assert client.samples(60, 1.0, 49) == ["half_open"]


def test_half_open_goes_by_40_55_and_75_percent_back_to_no_limit() -> None:
    client = half_open()
    limits = [client.limit]
    changes = []
    while client.state != "closed":
        changes.append((client.samples(4, CLEAN), client.sample(CLEAN)))
        limits.append(client.limit)
    assert limits == [4 * MB, 5.5 * MB, 7.5 * MB, 0]
    assert changes == [([], "stepped"), ([], "stepped"), ([], "closed")]


def test_half_open_follows_a_rate_that_changes() -> None:
    client = half_open()
    assert client.breaker.limit_bps(2 * RATE) == 8 * MB
    assert client.breaker.limit_bps(1) == 1
    client.samples(5, CLEAN)
    assert client.breaker.limit_bps(2 * RATE) == 11 * MB


def test_without_a_rate_the_steps_are_of_what_it_was_sent() -> None:
    client = Client(0)
    client.trip()
    client.current = MB  # as it is held down now
    client.wait(CLEAN_S)
    assert client.limit == 4 * MB
    client.samples(10, CLEAN)
    assert client.limit == 7.5 * MB
    client.samples(5, CLEAN)
    assert client.limit == 0


@pytest.mark.parametrize("loss", [0.05, MIDDLING])
def test_a_step_begins_anew_at_5_percent_loss_and_does_not_trip_below_15(
    loss: float,
) -> None:
    client = half_open()
    assert client.samples(5, CLEAN) == ["stepped"]
    client.samples(4, CLEAN)
    assert client.sample(loss) == ""
    assert client.samples(4, CLEAN) == []
    assert client.sample(CLEAN) == "stepped"
    assert client.samples(100, loss) == []
    assert client.limit == 7.5 * MB


def test_half_open_trips_again_after_five_bad_samples() -> None:
    client = half_open()
    client.samples(5, CLEAN)
    assert client.samples(4, BAD) == []
    assert client.sample(CLEAN) == ""
    client.current = MB
    assert client.trip() == "tripped"
    assert client.limit == MB


def test_30_seconds_without_a_counted_sample_pass_a_step() -> None:
    client = half_open()
    client.samples(3, CLEAN)
    assert client.wait(ROW_S - 0.05) == []
    assert client.tick(0.05) == "stepped"
    assert client.samples(15, CLEAN, 49) == ["stepped"], "small ones do not count"
    assert client.wait(ROW_S) == ["closed"]


def test_the_third_trip_in_30_minutes_freezes() -> None:
    client = Client()
    assert client.trip() == "tripped"
    client.recover()
    assert client.trip() == "tripped"
    client.recover()
    client.current = 3 * MB
    assert client.trip() == "frozen"
    assert client.state == "frozen"
    assert client.limit == 3 * MB


@pytest.mark.parametrize(("early", "change"), [(0, "tripped"), (1, "frozen")])
def test_the_30_minutes_are_rolling(early: float, change: str) -> None:
    client = Client()
    client.trip()
    first = client.now
    client.recover()
    client.trip()
    client.recover()
    client.wait((first - client.now) / S + 1800 - 5 * SAMPLE_S - early)
    assert client.trip() == change


def freeze(client: Client) -> None:
    while client.state != "frozen":
        client.wait(CLEAN_S)
        client.samples(15, CLEAN)
        client.samples(5, BAD)


def test_a_freeze_lasts_five_minutes_whatever_comes_and_then_the_two_begin() -> None:
    client = Client()
    freeze(client)
    limit = client.limit
    assert client.samples(74, CLEAN) == []
    assert client.samples(75, BAD) == []
    assert client.sample(CLEAN) == "thawed"
    assert client.state == "degraded"
    assert client.limit == limit
    assert client.samples(59, CLEAN) == []
    assert client.sample(CLEAN) == "half_open"


def test_an_operator_releases_it() -> None:
    client = Client()
    assert client.breaker.release(client.now) == ""
    freeze(client)
    assert client.breaker.release(client.now) == "closed"
    assert client.limit == 0
    assert client.trip() == "tripped", "earlier trips are forgotten"


def test_a_release_ends_a_row() -> None:
    client = Client()
    client.samples(4, BAD)
    client.breaker.release(client.now)
    assert client.samples(4, BAD) == []


def test_a_client_that_was_away_is_caught_up_a_change_at_a_time() -> None:
    client = Client()
    freeze(client)
    client.now += 3600 * S
    changes = [client.tick() for _ in range(7)]
    assert changes == ["thawed", "half_open", "stepped", "stepped", "closed", "", ""]


def test_steps_missed_count_from_when_they_were_due() -> None:
    client = Client()
    client.trip()
    assert client.tick(CLEAN_S + ROW_S + 5) == "half_open"
    assert client.tick() == "stepped"
    assert client.tick(ROW_S - 6) == ""
    assert client.tick(1) == "stepped"


def test_an_idle_client_is_never_touched_in_ten_hours() -> None:
    client = Client()
    assert client.samples(18_000, 0.0, 0) == []
    assert client.limit == 0


@given(st.floats(0, 1))
def test_under_a_constant_loss_it_trips_at_most_once_and_stays(loss: float) -> None:
    client = Client()
    changes = client.samples(1800, loss)
    assert changes == (["tripped"] if round(loss * SEGMENTS) >= 150 else [])


@given(st.floats(0.1, 2))
def test_where_the_loss_comes_from_its_own_rate_trips_are_minutes_apart(
    share: float,
) -> None:
    """A path that carries ``share`` of the rate, and a client that asks for all."""
    client = Client()
    capacity = share * RATE
    trips = []
    for _ in range(3600):
        sent = client.limit or RATE
        client.current = int(min(sent, capacity))
        change = client.sample(max(0.0, 1 - capacity / sent))
        trips += [client.now] if change in ("tripped", "frozen") else []
    if share >= 0.86:
        assert trips == []
    for before, after in pairwise(trips):
        assert after - before >= (CLEAN_S + 5 * SAMPLE_S) * S
    for before, after in zip(trips[1:], trips[3:], strict=False):
        assert after - before >= FREEZE_S * S, "of three, one freezes"


samples = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 200),
        st.integers(0, 10**9),
        st.sampled_from([0, 1, 10**4, RATE, 10**12]),
        st.sampled_from([0, 0, 0, 5, 31, 400]),
        st.integers(1, 8),
    ),
    max_size=60,
)


@given(samples)
def test_it_never_allows_more_than_its_state_says_and_always_recovers(
    steps: list[tuple[float, int, int, int, int, int]],
) -> None:
    client = Client()
    for loss, segments, current, rate, pause, times in steps:
        client.rate, client.current = rate, current
        client.now += pause * S
        client.samples(times, loss, segments)
        if client.state == "closed":
            assert client.limit == 0
        else:
            assert client.limit >= 1
        if rate:
            most = 0.75 if client.state == "half_open" else 0.4
            assert client.limit <= max(most * rate, 1)
    client.wait(FREEZE_S + CLEAN_S + 3 * ROW_S)
    assert client.state == "closed"


@given(st.lists(st.sampled_from([0.0, 0.04, 0.06, 0.14]), max_size=200))
def test_losses_below_15_percent_never_trip(losses: list[float]) -> None:
    client = Client()
    for loss in losses:
        assert client.sample(loss) == ""
