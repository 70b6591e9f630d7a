"""What TCP_INFO says of a connection, as differences that go to its client."""

import pytest

from penstock import _testing

MS = 1_000_000
S = 1000 * MS


@pytest.fixture
def connection() -> _testing.SensedConnection:
    made = _testing.SensedConnection()
    made.begin(S)
    return made


def test_differences_are_added_up(connection: _testing.SensedConnection) -> None:
    connection.take(S + 20 * MS, segments=10, retrans=1, marked=2, acked=9000)
    connection.take(S + 40 * MS, segments=25, retrans=1, marked=5, acked=30000)
    seen = connection.signals()
    assert (seen["segments"], seen["retrans"], seen["marked"]) == (25, 1, 5)
    assert (seen["acked"], seen["mss"]) == (30000, 1448)


def test_what_a_connection_counted_before_belongs_to_nobody() -> None:
    """Another client's transfer may have been on it."""
    connection = _testing.SensedConnection()
    connection.begin(S, first=False, segments=1000, retrans=400, marked=7, acked=10**6)
    connection.take(S + MS, segments=1010, retrans=401, marked=7, acked=10**6 + 14480)
    seen = connection.signals()
    assert (seen["segments"], seen["retrans"], seen["acked"]) == (10, 1, 14480)


def test_a_later_transfer_of_the_same_client_goes_on_from_there(
    connection: _testing.SensedConnection,
) -> None:
    """Losses between the end of one and the first look at the next count."""
    connection.take(S + MS, segments=10)
    connection.forget()
    connection.begin(S + 9 * MS, first=False, segments=30, retrans=5)
    connection.take(S + 20 * MS, segments=30, retrans=5)
    assert connection.signals()["segments"] == 30
    assert connection.signals()["retrans"] == 5


def test_what_another_client_sent_in_between_is_not_charged_to_the_first() -> None:
    """Behind a proxy, connections are shared."""
    connection = _testing.SensedConnection()
    connection.begin(S, client=7)
    connection.take(S + MS, segments=10)
    connection.forget()
    connection.lose()  # a transfer of somebody else
    connection.begin(S + 9 * MS, first=False, client=7, segments=70000, retrans=5000)
    connection.take(S + 20 * MS, segments=70010, retrans=5001)
    assert connection.signals()["segments"] == 20
    assert connection.signals()["retrans"] == 1


def test_a_handshake_that_was_answered_late_lost_nothing() -> None:
    """The kernel repeats a SYN-ACK to whoever connects and does not ask at once."""
    connection = _testing.SensedConnection()
    counted = {"segments": 10, "retrans": 4, "bytes_retrans": 2 * 1448}
    connection.begin(S, **counted)
    connection.take(S, **counted)
    assert connection.signals()["retrans"] == 2


@pytest.mark.parametrize("first", [True, False])
def test_what_came_before_the_first_look_is_no_sample_of_the_bandwidth(
    first: bool,
) -> None:
    """It came in a time that nobody knows."""
    connection = _testing.SensedConnection()
    connection.begin(S, first=first, segments=2000, acked=2_000_000)
    connection.take(S, segments=2000, acked=2_000_000)
    connection.take(S + 20 * MS, segments=2030, acked=2_040_000)
    assert connection.signals()["estimate"] == pytest.approx(2 * 10**6, rel=0.01)


def test_counters_of_the_kernel_may_wrap() -> None:
    connection = _testing.SensedConnection()
    connection.begin(S, first=False, segments=2**32 - 5)
    connection.take(S + MS, segments=5)
    assert connection.signals()["segments"] == 10


def test_an_estimate_is_withdrawn_with_its_transfer(
    connection: _testing.SensedConnection,
) -> None:
    connection.take(S + 20 * MS, segments=10, acked=20000)
    assert connection.signals()["estimate"] == pytest.approx(10**6, rel=0.01)
    connection.forget()
    assert connection.signals()["estimate"] == 0
    connection.forget()
    assert connection.signals()["estimate"] == 0


def test_what_was_limited_does_not_lower_the_estimate(
    connection: _testing.SensedConnection,
) -> None:
    connection.take(S + 20 * MS, segments=10, acked=20000)
    for i in range(2, 300):
        connection.take(
            S + i * 20 * MS, limited=True, segments=10 + i, acked=20000 + i * 100
        )
    assert connection.signals()["estimate"] == pytest.approx(10**6, rel=0.01)


def test_the_least_rtt_is_kept_and_an_unknown_one_is_none(
    connection: _testing.SensedConnection,
) -> None:
    connection.take(S + MS, min_rtt_us=2**32 - 1, rtt_us=0)
    assert connection.signals()["srtt"] == connection.signals()["min_rtt"] == 0
    connection.take(S + 2 * MS, min_rtt_us=20000, rtt_us=30000, ecn=True)
    connection.take(S + 3 * MS, min_rtt_us=25000, rtt_us=30000, ecn=True)
    assert connection.signals()["min_rtt"] == 20 * MS
    assert connection.signals()["srtt"] == 30 * MS
    assert connection.signals()["ecn"]
