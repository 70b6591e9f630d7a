"""The tree as clients meet it, on a manual clock: weights, guarantees, lending, groups,
bursts, beginnings."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest

from tests.unit.simulated import KIB, MB, SERVER, SLICES, World


def test_weights_share_a_saturated_total_exactly_and_all_of_it_is_used() -> None:
    world = World(3)
    world.table.allow(SERVER, 70 * MB)
    for row, weight in zip(world.rows, (100, 200, 400), strict=True):
        world.table.allow(row, weight=weight)
        world.download(row, 8)
    world.run(2)
    rates = world.rates(world.rows, 10)
    assert sum(rates) == pytest.approx(70 * MB, rel=0.005)
    for rate, share in zip(rates, (10, 20, 40), strict=True):
        assert rate == pytest.approx(share * MB, rel=0.01)


def test_what_an_idle_client_leaves_is_lent_and_taken_back_within_200_ms() -> None:
    world = World(2)
    ann, bob = world.rows
    world.table.allow(SERVER, 40 * MB)
    for row in world.rows:
        world.download(row, 4)
    world.run(3)
    world.stop(ann)
    world.run(0.2)
    assert world.rates([bob], 1)[0] == pytest.approx(40 * MB, rel=0.04)
    world.download(ann, 4)
    world.run(0.2)
    assert world.rates([ann, bob], 1) == pytest.approx([20 * MB] * 2, rel=0.05)


def test_a_guarantee_holds_against_heavier_clients() -> None:
    world = World(3)
    world.table.allow(SERVER, 30 * MB)
    world.table.allow(world.rows[0], min_bps=20 * MB, weight=1)
    for row in world.rows:
        world.download(row, 4)
    world.run(2)
    rates = world.rates(world.rows, 5)
    assert rates == pytest.approx([20 * MB, 5 * MB, 5 * MB], rel=0.03)


def test_a_ceil_lends_what_the_parent_has_to_spare_and_no_more() -> None:
    world = World(2)
    ann, bob = world.rows
    world.table.allow(SERVER, 30 * MB)
    world.table.allow(ann, 10 * MB, ceil_bps=25 * MB)
    world.table.allow(bob, 10 * MB)
    world.download(ann, 4)
    world.run(1)
    assert world.rates([ann], 2)[0] == pytest.approx(25 * MB, rel=0.02)
    world.download(bob, 4)
    world.run(2)
    assert world.rates(world.rows, 5) == pytest.approx([20 * MB, 10 * MB], rel=0.03)


def test_a_group_has_its_limit_and_divides_it_by_weight() -> None:
    world = World(3)
    world.table.allow(1, 12 * MB)
    world.table.allow(world.rows[0], weight=100, group=1)
    world.table.allow(world.rows[1], weight=300, group=1)
    world.table.allow(world.rows[2], 5 * MB)
    for row in world.rows:
        world.download(row, 4)
    world.run(2)
    rates = world.rates(world.rows, 5)
    assert rates == pytest.approx([3 * MB, 9 * MB, 5 * MB], rel=0.02)


def test_groups_share_the_server_by_their_weights_whatever_their_members() -> None:
    world = World(5)
    world.table.allow(SERVER, 30 * MB)
    world.table.allow(1, weight=100)
    world.table.allow(2, weight=200)
    for row in world.rows[:4]:
        world.table.allow(row, group=1)
    world.table.allow(world.rows[4], group=2)
    for row in world.rows:
        world.download(row, 2)
    world.run(2)
    rates = world.rates(world.rows, 10)
    assert sum(rates[:4]) == pytest.approx(10 * MB, rel=0.02)
    assert rates[:4] == pytest.approx([2.5 * MB] * 4, rel=0.03)
    assert rates[4] == pytest.approx(20 * MB, rel=0.02)


def test_many_who_wake_at_once_never_exceed_their_groups_limit() -> None:
    """The bucket of the group holds them until the next pass."""
    world = World(50)
    world.table.allow(1, 10 * MB)
    for row in world.rows:
        world.table.allow(row, group=1)
    world.run(2)
    for row in world.rows:
        world.download(row)
    world.run(0.2)
    assert sum(world.sent.values()) <= 10 * MB * (0.2 + 0.25) + 50 * 16 * KIB


def test_one_limit_holds_over_many_connections_of_several_engines() -> None:
    world = World(1, engines=2)
    ann = world.rows[0]
    world.table.allow(ann, 10 * MB)
    world.download(ann, 64)
    world.run(1)
    assert world.rates([ann], 10)[0] == pytest.approx(10 * MB, rel=0.005)


def test_a_full_bucket_drains_at_its_peak_after_a_short_prefix() -> None:
    """So that one second of a burst is at most an eighth above the limit."""
    world = World(1)
    ann = world.rows[0]
    world.table.allow(ann, 10 * MB)
    world.run(5)
    world.download(ann, 4)
    world.run(20)
    seconds: dict[int, int] = defaultdict(int)
    for at, n in world.slices[ann].items():
        seconds[at // SLICES] += n
    assert max(seconds.values()) <= 1.12 * 10 * MB + 2 * 256 * KIB
    assert sum(list(seconds.values())[:10]) > 1.1 * 10 * 10 * MB, "it has a burst"


def test_a_new_transfer_has_its_first_bytes_beside_bulk_of_the_same_client() -> None:
    world = World(1)
    ann = world.rows[0]
    world.table.allow(ann, 200 * KIB)
    world.download(ann, 32)
    world.run(5)
    before = world.sent[ann]
    world.download(ann, 1, total=20 * KIB)
    assert world.sent[ann] > before, "on debt, at once"
    world.run(10)
    assert world.rates([ann], 10)[0] == pytest.approx(200 * KIB, rel=0.02)


def test_beginnings_cannot_starve_bulk_nor_exceed_the_limit() -> None:
    world = World(1, transfers=2000)
    ann = world.rows[0]
    world.table.allow(ann, MB)
    world.download(ann, 1)
    world.run(2)
    bulk = (0, 0)
    moved, start = 0, world.sent[ann]
    for _ in range(500):
        world.download(ann, 1, total=8 * KIB)
        world.run(0.02)
    total = world.sent[ann] - start
    assert total <= 10 * MB + 3 * MB
    moved = world.engines[0].moved(bulk[1])
    assert moved > 3 * MB, "the old one goes on beside them"


def test_nobody_is_starved_under_a_saturated_total() -> None:
    world = World(200, transfers=200)
    world.table.allow(SERVER, 20 * MB)
    for i, row in enumerate(world.rows):
        world.table.allow(row, weight=1 if i % 2 else 100)
        world.download(row)
    world.run(2)
    before = dict(world.sent)
    world.run(20)
    assert all(world.sent[row] > before[row] for row in world.rows)


@pytest.mark.alone
def test_the_cost_of_a_pass_does_not_depend_on_idle_clients() -> None:
    """Nor on clients that wait for a long time: 100,000 parked transfers, whose
    clients all wait for their next quantum, against a thousand."""

    def passes(idle: int) -> float:
        world = World(idle + 100, transfers=100)
        world.table.allow(SERVER, 100 * MB)
        for row in world.rows[:100]:
            world.download(row)
        world.run(0.5)
        best = float("inf")
        for _ in range(30):
            world.run(0.05)
            start = time.perf_counter_ns()
            world.table.share()
            best = min(best, time.perf_counter_ns() - start)
        return best

    few, many = passes(1_000), passes(100_000)
    assert many <= 3 * few + 50_000, "a word of bits for 64 idle rows"


def test_many_transfers_of_a_slow_client_all_have_their_turn_soon() -> None:
    """64 that share 10 KiB/s: a grant of half a second's worth would leave each without
    a byte for half a minute, which is when downloaders give up."""
    world = World(1)
    ann = world.rows[0]
    world.table.allow(ann, 10 * KIB)
    world.download(ann, 64)
    world.run(20)
    before = [world.engines[0].moved(i) for i in range(64)]
    world.run(6)
    after = [world.engines[0].moved(i) for i in range(64)]
    assert all(now > was for now, was in zip(after, before, strict=True))


@pytest.mark.alone
def test_a_tick_costs_the_same_beside_a_hundred_thousand_parked_transfers() -> None:
    """They are in the wheel, and nobody looks at them before their time."""

    def tick_ns(parked: int) -> float:
        world = World(parked + 1, transfers=parked + 1)
        world.sharing = False
        busy = world.rows[-1]
        world.table.allow(busy, 100 * MB)
        for row in world.rows[:-1]:
            world.table.allow(row, 1)  # one byte per second: parked for minutes
            world.download(row)
        world.download(busy)
        world.run(0.5)
        assert world.engines[0].waiting[0] >= parked
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter_ns()
            world.run(0.1)
            best = min(best, time.perf_counter_ns() - start)
        return best

    assert tick_ns(100_000) <= 2 * tick_ns(100)


def test_nobody_sleeps_on_when_a_cap_of_everybody_ends() -> None:
    """Debts of a quantum at a hundredth of the rate would last for minutes, and there
    are more clients than one pass can note."""
    world = World(50)
    world.table.allow(SERVER, 5 * KIB)
    for row in world.rows:
        world.table.allow(row, MB)
        world.download(row)
    world.run(5)
    world.table.set_rate(SERVER, 0)
    world.run(0.5)
    rates = world.rates(world.rows, 2)
    assert rates == pytest.approx([MB] * 50, rel=0.2)


def test_a_client_that_leaves_its_group_leaves_its_line() -> None:
    world = World(2)
    ann, bob = world.rows
    world.table.allow(1, KIB)
    for row in world.rows:
        world.table.allow(row, MB, group=1)
        world.download(row, 3)
    world.run(5)
    world.table.move(ann, 0)
    world.run(0.2)
    assert world.rates([ann], 2)[0] == pytest.approx(MB, rel=0.2)
    assert world.rates([bob], 2)[0] < 20 * KIB


def test_beginnings_on_many_engines_exceed_nothing_together() -> None:
    world = World(1, engines=12, transfers=400)
    ann = world.rows[0]
    world.table.allow(ann, MB)
    world.download(ann, 12)
    world.run(2)
    start = world.sent[ann]
    for _ in range(300):
        world.download(ann, 12, total=8 * KIB)
        world.run(0.02)
    assert world.sent[ann] - start <= 6 * MB * 1.1 + MB
