"""The controllers of one client, from its signals to the rate of its bucket."""

from collections.abc import Callable, Iterator

import pytest

from penstock import _testing

MS = 1_000_000
S = 1000 * MS
PASS_NS = 50 * MS
OFF, ADAPTIVE, FULL = 0, 1, 2
TARGET, CONTROLLER, BREAKER = 0, 1, 2
RATE = 12_500_000  # 100 Mb/s
START = 1000 * S

Each = Callable[[int], None]


def passes(
    client: _testing.SteeredClient, begin_ns: int, seconds: float, each: Each
) -> int:
    """Control passes for so long, ``each`` before every one; returns the time then."""
    now = begin_ns
    for _ in range(round(seconds * S / PASS_NS)):
        now += PASS_NS
        each(now)
        client.run(now)
    return now


def bulk(
    client: _testing.SteeredClient, loss: float, rtt_ns: int = 0
) -> Iterator[Each]:
    """Sends at its rate, of whose segments a part is lost."""
    owed = [0.0]

    def each(now: int) -> None:
        n = client.seen(now)["runs_at"] // 20
        client.wait(True)
        client.send(n, now)
        segments = max(n // 1448, 1)
        owed[0] += segments * loss
        client.network(segments, int(owed[0]), rtt_ns=rtt_ns)
        owed[0] -= int(owed[0])

    yield each


def loses(client: _testing.SteeredClient, loss: float, rtt_ns: int = 0) -> Each:
    return next(bulk(client, loss, rtt_ns))


def test_without_a_mode_nobody_is_followed() -> None:
    client = _testing.SteeredClient(RATE, OFF, START)
    passes(client, START, 30, loses(client, 0.5))
    seen = client.seen(START)
    assert not seen["followed"]
    assert seen["runs_at"] == RATE


def test_a_path_that_loses_nothing_has_its_rate() -> None:
    client = _testing.SteeredClient(RATE, FULL, START)
    now = passes(client, START, 60, loses(client, 0.0, 20 * MS))
    seen = client.seen(now)
    assert seen["followed"]
    assert (seen["limit"], seen["runs_at"]) == (0, RATE)
    assert seen["limited_by"] == "client"
    assert client.changes() == []


def test_heavy_loss_trips_the_breaker_after_five_samples() -> None:
    """100 Mb/s become 40, between ten and twelve seconds after the loss began."""
    client = _testing.SteeredClient(RATE, FULL, START)
    now = passes(client, START, 9.9, loses(client, 0.2))
    assert client.seen(now)["state"] == "closed"
    now = passes(client, now, 2.1, loses(client, 0.2))
    seen = client.seen(now)
    assert seen["state"] == "degraded"
    assert seen["breaker"] == RATE * 2 // 5
    assert seen["runs_at"] <= RATE * 2 // 5
    assert seen["alarmed"] == 1
    assert (BREAKER, 1, 0, RATE * 2 // 5) in client.changes()


def test_the_breaker_recovers_by_its_schedule_and_the_rate_is_as_it_was() -> None:
    client = _testing.SteeredClient(RATE, FULL, START)
    now = passes(client, START, 12, loses(client, 0.2))
    assert client.seen(now)["state"] == "degraded"
    now = passes(client, now, 118, loses(client, 0.0))
    assert client.seen(now)["state"] == "degraded"
    now = passes(client, now, 5, loses(client, 0.0))
    assert client.seen(now)["state"] == "half_open"
    seen = []
    for _ in range(20):
        seen.append(client.seen(now)["breaker"] / RATE)
        now = passes(client, now, 2, loses(client, 0.0))
    steps = list(dict.fromkeys(round(share, 2) for share in seen))
    assert steps == [0.4, 0.55, 0.75, 0.0]
    assert client.seen(now)["state"] == "closed"
    assert client.seen(now)["breaker"] == 0
    assert client.seen(now)["alarmed"] == 0


def test_an_operator_releases_it_at_once() -> None:
    client = _testing.SteeredClient(RATE, FULL, START)
    now = passes(client, START, 12, loses(client, 0.2))
    client.release(now)
    now = passes(client, now, 0.1, loses(client, 0.0))
    assert client.seen(now)["breaker"] == 0
    assert client.seen(now)["alarmed"] == 0


def test_a_loss_halves_what_it_is_sent_and_it_grows_again() -> None:
    client = _testing.SteeredClient(RATE, FULL, START)
    each = loses(client, 0.0, 20 * MS)
    now = passes(client, START, 2, each)
    client.network(100, 1, rtt_ns=20 * MS)
    now = passes(client, now, 0.1, each)
    seen = client.seen(now)
    assert 0.4 * RATE < seen["controller"] < 0.65 * RATE
    assert seen["limited_by"] == "controller"
    assert seen["runs_at"] == seen["controller"]
    now = passes(client, now, 20, each)
    assert client.seen(now)["runs_at"] == RATE


def test_adaptive_alone_neither_cuts_nor_breaks() -> None:
    client = _testing.SteeredClient(RATE, ADAPTIVE, START)
    now = passes(client, START, 30, loses(client, 0.3, 20 * MS))
    seen = client.seen(now)
    assert seen["followed"]
    assert (seen["controller"], seen["breaker"]) == (0, 0)
    assert seen["state"] == "closed"


def test_a_mode_that_is_taken_back_leaves_no_limit() -> None:
    client = _testing.SteeredClient(RATE, FULL, START)
    now = passes(client, START, 12, loses(client, 0.2))
    assert client.seen(now)["limit"]
    client.allow(RATE, OFF)
    now = passes(client, now, 0.1, loses(client, 0.2))
    seen = client.seen(now)
    assert not seen["followed"]
    assert (seen["limit"], seen["runs_at"], seen["alarmed"]) == (0, RATE, 0)


def test_who_gets_less_than_it_pays_for_is_not_raised_above_its_rate() -> None:
    """The default ceiling is the rate itself."""
    client = _testing.SteeredClient(RATE, ADAPTIVE, START)

    def short(now: int) -> None:
        client.wait(True)
        client.send(RATE // 40, now)

    now = passes(client, START, 60, short)
    assert client.seen(now)["target"] == RATE


def test_an_idle_client_whose_path_was_congested_is_let_go_after_a_minute() -> None:
    client = _testing.SteeredClient(RATE, FULL, START)
    now = passes(client, START, 2, loses(client, 0.01, 20 * MS))
    client.wait(False)
    now = passes(client, now, 59, lambda _: None)
    assert client.seen(now)["followed"]
    now = passes(client, now, 2, lambda _: None)
    assert not client.seen(now)["followed"]


def test_the_row_of_one_that_is_followed_goes_to_nobody_else() -> None:
    """Else a client whose breaker is open would only have to come under another key and
    come back."""
    client = _testing.SteeredClient(RATE, FULL, START, rows=1)
    now = passes(client, START, 12, loses(client, 0.2))
    client.wait(False)
    client.leave(client.row)
    now += 100 * S
    assert client.hold(2, now) is None
    now = passes(client, now, 400, lambda _: None)
    assert not client.seen(now)["followed"]
    assert client.hold(2, now) == client.row


@pytest.mark.parametrize("total", [0, 4 * RATE])
def test_the_bucket_follows_whether_or_not_the_server_divides(total: int) -> None:
    client = _testing.SteeredClient(RATE, FULL, START, total_bps=total)
    now = passes(client, START, 12.1, loses(client, 0.2))
    assert client.seen(now)["runs_at"] <= RATE * 2 // 5
    client.release(now)
    client.allow(RATE, ADAPTIVE)
    now = passes(client, now, 0.2, loses(client, 0.0))
    assert client.seen(now)["runs_at"] == RATE


def test_one_of_whom_nothing_is_known_is_let_go_after_seconds() -> None:
    """Rows that are followed can not be given to others: keys that come once, thousands
    of them, must not hold the table for a minute."""
    client = _testing.SteeredClient(RATE, FULL, START, rows=1)
    now = passes(client, START, 2, loses(client, 0.0, 20 * MS))
    client.wait(False)
    client.leave(client.row)
    now = passes(client, now, 4, lambda _: None)
    assert not client.seen(now)["followed"]
    assert client.hold(2, now) == client.row


def test_what_is_borrowed_up_to_the_ceil_is_not_taken_back() -> None:
    client = _testing.SteeredClient(RATE, ADAPTIVE, START, total_bps=100 * RATE)
    client.allow(RATE, ADAPTIVE, ceil_bps=4 * RATE)

    def borrows(now: int) -> None:
        """And pays after: it has never a token left."""
        n = client.seen(now)["fill"]
        client.wait(True)
        client.spend(n + 1, now)

    now = passes(client, START, 40, borrows)
    assert client.seen(now)["runs_at"] == 4 * RATE
    assert client.changes() == []


@pytest.mark.parametrize("rate", [10 * RATE, 0])
def test_a_new_rate_holds_from_the_next_pass_on(rate: int) -> None:
    """Also when the second, and what is known of it, is not over yet."""
    client = _testing.SteeredClient(RATE, ADAPTIVE, START)
    now = passes(client, START, 3.1, loses(client, 0.0))
    client.allow(rate, ADAPTIVE)
    now = passes(client, now, 0.1, loses(client, 0.0))
    seen = client.seen(now)
    assert (seen["limit"], seen["target"]) == (0, rate)


def test_a_limit_that_ends_while_the_client_is_idle_leaves_nothing_behind() -> None:
    """Nor does the end of the pass's dividing, which would have raised it."""
    client = _testing.SteeredClient(RATE, FULL, START)
    client.total_cap(100 * RATE)
    now = passes(client, START, 12.1, loses(client, 0.2))
    assert client.seen(now)["runs_at"] <= RATE * 2 // 5
    client.wait(False)
    now = passes(client, now, 300, lambda _: None)
    assert client.seen(now)["state"] == "closed"
    client.total_cap(0)
    now = passes(client, now, 1, lambda _: None)
    assert client.seen(now)["runs_at"] == RATE


def test_marks_cut_also_when_there_is_no_news_in_every_pass() -> None:
    """Of ten thousand downloads, each is asked once a second."""
    client = _testing.SteeredClient(RATE, FULL, START)
    number = iter(range(10**6))

    def marked(now: int) -> None:
        client.wait(True)
        client.send(RATE // 20, now)
        if next(number) % 4 == 0:
            client.network(400, marked=1, rtt_ns=20 * MS, estimate_bps=RATE)

    now = passes(client, START, 2, marked)
    assert client.seen(now)["controller"]


def test_a_loss_before_the_controller_looked_is_none_of_its_business() -> None:
    """A mode that is raised does not cut for what happened under another."""
    client = _testing.SteeredClient(RATE, ADAPTIVE, START)
    now = passes(client, START, 20, loses(client, 0.2, 20 * MS))
    client.allow(RATE, FULL)
    now = passes(client, now, 20, loses(client, 0.0, 20 * MS))
    assert client.changes() == []
    client.allow(RATE, ADAPTIVE)
    now = passes(client, now, 20, loses(client, 0.2, 20 * MS))
    client.allow(RATE, FULL)
    passes(client, now, 20, loses(client, 0.0, 20 * MS))
    assert client.changes() == []
