"""Python's way to a client's buckets, on a manual clock, beside simulated engines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from penstock import _testing
from tests.unit.simulated import MB, MS, SERVER, S, World

PATIENCE = 1 << 20  # what a node forgives (bucket: virtual_take)
GROUP = 1
LATE_NS = 100_000  # a task wakes up so much later than it asked to


def world(**keys: int) -> tuple[World, int]:
    """A world with one client that is allowed ``keys``."""
    one = World(1)
    [row] = one.rows
    one.table.allow(row, **keys)
    return one, row


def payer(one: World, row: int) -> _testing.SimulatedPayer:
    return _testing.SimulatedPayer(one.table, row)


def pay_for(one: World, by: _testing.SimulatedPayer, until: int) -> int:
    """Take and settle whole quanta until then; the bytes."""
    paid = 0
    while one.now < until:
        n = by.quantum()
        wait_ns = by.take(n)
        if wait_ns == 0:
            by.settle(n)
            paid += n
        else:
            one.run(min(wait_ns + LATE_NS, until - one.now) / S)
    return paid


def test_what_is_paid_is_the_rate_and_counts_for_the_client() -> None:
    one, row = world(rate_bps=10 * MB)
    by = payer(one, row)
    paid = pay_for(one, by, one.now + 10 * S)
    assert paid == pytest.approx(100 * MB, rel=0.005)
    assert one.table.row(row)["bytes_total"] == paid


@pytest.mark.parametrize("node", [SERVER, GROUP])
def test_a_node_above_holds_it_down_too(node: int) -> None:
    one, row = world(group=GROUP)
    one.table.allow(node, rate_bps=10 * MB)
    by = payer(one, row)
    paid = pay_for(one, by, one.now + 10 * S)
    assert paid == pytest.approx(100 * MB, rel=0.005)


def test_a_refused_take_charges_nobody() -> None:
    one, row = world(group=GROUP)
    for node in (SERVER, GROUP):
        one.table.allow(node, rate_bps=MB)
    by = payer(one, row)
    while by.take(20_000) == 0:
        pass
    before = [one.table.row(r) for r in (SERVER, GROUP, row)]
    assert by.take(20_000) > 0
    after = [one.table.row(r) for r in (SERVER, GROUP, row)]
    for was, now in zip(before, after, strict=True):
        assert now["fill_bytes"] == was["fill_bytes"]


calls = st.lists(
    st.tuples(
        st.sampled_from(["take", "refund", "settle"]),
        st.integers(1, PATIENCE),
        st.integers(0, 200 * MS),
    ),
    max_size=40,
)


@given(
    calls,
    st.integers(1, 10**10),
    st.integers(1, 10**10),
    st.integers(1, 10**10),
)
def test_no_bucket_owes_more_than_it_forgives(
    steps: list[tuple[str, int, int]], own: int, group: int, total: int
) -> None:
    """Else a limit would be exceeded for good."""
    one, row = world(rate_bps=own, group=GROUP)
    one.table.allow(GROUP, rate_bps=group)
    one.table.allow(SERVER, rate_bps=total)
    by = payer(one, row)
    held = 0
    for call, n, pause_ns in steps:
        one.run(pause_ns / S)
        if call == "take":
            held += n if by.take(n) == 0 else 0
        elif n <= held:
            getattr(by, call)(n)
            held -= n
        for node in (SERVER, GROUP, row):
            assert one.table.row(node)["fill_bytes"] >= -PATIENCE - 1
    by.leave()


@given(st.integers(1, 10**10), st.lists(st.integers(1, PATIENCE), max_size=20))
def test_what_is_given_back_was_never_taken(rate: int, takes: list[int]) -> None:
    one, row = world(rate_bps=rate, group=GROUP)
    one.table.allow(GROUP, rate_bps=rate)
    one.table.allow(SERVER, rate_bps=rate)
    by = payer(one, row)
    nodes = (SERVER, GROUP, row)
    before = [one.table.row(r)["fill_bytes"] for r in nodes]
    for n in [n for n in takes if by.take(n) == 0]:
        by.refund(n)
    for node, was in zip(nodes, before, strict=True):
        lost = abs(one.table.row(node)["fill_bytes"] - was)
        assert lost <= 1 + len(takes) * rate / 10**9


def test_it_is_counted_as_one_who_waits_only_while_it_does() -> None:
    one, row = world(rate_bps=MB)
    by = payer(one, row)
    assert by.take(50_000) == 0
    assert one.table.row(row)["queues"] == 0
    wait_ns = by.take(50_000)
    assert wait_ns == 50 * MS
    assert by.take(50_000) > 0
    assert one.table.row(row)["queues"] == 1
    one.run(wait_ns / S)
    assert by.take(50_000) == 0
    assert one.table.row(row)["queues"] == 0
    by.take(50_000)
    by.leave()
    assert one.table.row(row)["queues"] == 0


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 8), st.sampled_from([MB, 20 * MB]))
def test_downloads_of_the_same_client_leave_it_its_turns(
    downloads: int, rate: int
) -> None:
    one, row = world(rate_bps=rate)
    one.download(row, downloads)
    by = payer(one, row)
    one.run(1)
    sent = one.sent[row]
    paid = pay_for(one, by, one.now + 10 * S)
    sent = one.sent[row] - sent
    assert paid + sent == pytest.approx(10 * rate, rel=0.03)
    assert paid > 0.2 * 10 * rate


def test_beside_downloads_of_another_client_each_has_its_half_of_the_server() -> None:
    one = World(2)
    one.table.allow(SERVER, rate_bps=20 * MB)
    mine, theirs = one.rows
    one.download(theirs, 4)
    by = payer(one, mine)
    pay_for(one, by, one.now + S)
    sent = one.sent[theirs]
    paid = pay_for(one, by, one.now + 10 * S)
    assert paid == pytest.approx(100 * MB, rel=0.05)
    assert one.sent[theirs] - sent == pytest.approx(100 * MB, rel=0.05)
