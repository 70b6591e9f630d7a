"""Tokens are never minted and never lost: properties, on a manual clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from penstock import _testing
from tests.unit.simulated import KIB, MB, SERVER, S, World


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 10**11),
    st.lists(st.tuples(st.integers(0, 2 * S), st.integers(1, 5)), max_size=12),
    st.integers(1, 3),
)
def test_no_interval_has_more_than_capacity_and_rate(
    rate: int, arrivals: list[tuple[int, int]], engines: int
) -> None:
    """From 1 B/s to 100 GB/s, whoever comes and goes and on however many engines."""
    world = World(1, engines=engines, transfers=80)
    world.sharing = False
    ann = world.rows[0]
    world.table.allow(ann, rate)
    events: list[tuple[int, int]] = []
    for wait, connections in arrivals:
        world.table.skip(world.now + wait)
        before = world.sent[ann]
        world.download(ann, connections, total=1 << 22)
        for at, engine in enumerate(world.engines):
            for number, n in engine.granted():
                world._use(at, number, n)
        events.append((world.now, world.sent[ann] - before))
    quantum = _testing.quantum(rate)
    most_early = engines * (64 * KIB + quantum)
    for i, (start, _) in enumerate(events):
        total = 0
        for now, n in events[i:]:
            total += n
            allowed = rate * (2 + (now - start) / S) + (1 + engines) * quantum
            assert total <= allowed + most_early


class Ledger:
    """What was sent by whom, while transfers come, send a part, and go."""

    def __init__(self, world: World, data: st.DataObject) -> None:
        self.world = world
        self.data = data
        self.parked: dict[tuple[int, int], int] = {}
        self.sent = dict.fromkeys(world.rows, 0)

    def send(self, at: int, number: int, n: int, row: int) -> None:
        """A part of the grant; then its client disconnects."""
        moved = self.data.draw(st.integers(0, n))
        self.world.engines[at].settle(number, moved)
        self.world.engines[at].cancel(number)
        self.sent[row] += moved

    def begin(self, at: int, number: int) -> None:
        row = self.data.draw(st.sampled_from(self.world.rows))
        self.world.engines[at].assign(number, row)
        n = self.world.engines[at].ask(number)
        if n:
            self.send(at, number, n, row)
        else:
            self.parked[at, number] = row

    def disturb(self, at: int, number: int) -> None:
        """A parked one goes, or somebody has a new limit."""
        if self.data.draw(st.booleans()):
            self.world.engines[at].cancel(number)
            del self.parked[at, number]
            return
        row = self.data.draw(st.sampled_from([SERVER, 1, *self.sent]))
        self.world.table.set_rate(row, self.data.draw(st.integers(10_000, 10**9)))
        for i, engine in enumerate(self.world.engines):
            for j, n in engine.granted():
                self.send(i, j, n, self.parked.pop((i, j)))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_tokens_are_conserved_over_short_sends_cancels_and_reloads(
    data: st.DataObject,
) -> None:
    """While the clock stands still, every bucket on the way owes what was sent."""
    world = World(2, engines=2, transfers=8)
    world.table.allow(SERVER, 50 * MB)
    world.table.allow(1, 20 * MB)
    for row in world.rows:
        world.table.allow(row, 10 * MB, group=1)
    ledger = Ledger(world, data)
    for _ in range(data.draw(st.integers(1, 40))):
        key = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 7))
        (ledger.disturb if key in ledger.parked else ledger.begin)(*key)
    everything = sum(ledger.sent.values())
    for row, n in {SERVER: everything, 1: everything, **ledger.sent}.items():
        assert world.table.row(row)["fill_bytes"] == pytest.approx(-n, abs=100)
    for at, number in ledger.parked:
        world.engines[at].cancel(number)
    assert [engine.waiting[0] for engine in world.engines] == [0, 0]
    for row in world.rows:
        assert world.table.row(row)["parked"] == world.table.row(row)["queues"] == 0


def test_a_client_that_disconnects_while_parked_leaves_nothing_behind() -> None:
    world = World(1)
    ann = world.rows[0]
    world.table.allow(ann, 16 * KIB)
    world.download(ann, 10)
    assert world.engines[0].waiting[0] == 10
    world.stop(ann)
    assert world.engines[0].waiting == (0, 0, 0)
    assert world.table.row(ann)["queues"] == 0


def test_a_clock_that_jumps_grants_no_more_than_a_full_bucket() -> None:
    world = World(1)
    ann = world.rows[0]
    world.table.allow(ann, MB)
    world.download(ann, 4)
    world.run(2)
    before = world.sent[ann]
    world.next_pass = world.now + 10**15
    world.table.skip(world.now + 10**15)
    for number, n in world.engines[0].granted():
        world._use(0, number, n)
        world._go_on(0, number)
    assert world.sent[ann] - before <= 2 * MB + 5 * 26_000 + 64 * KIB


def in_flight(world: World, row: int) -> int:
    """Bytes of a grant that nobody has settled yet."""
    world.engines[0].assign(0, row)
    n: int = world.engines[0].ask(0)
    assert n > 0
    return n


@pytest.mark.parametrize("level", [SERVER, 1, 2])
def test_a_limit_set_during_a_download_begins_with_no_tokens(level: int) -> None:
    """What was granted when nothing was limited was charged to nobody: what is not sent
    of it is nobody's."""
    world = World(1)
    ann = world.rows[0]
    world.table.allow(ann, 0, group=1)
    in_flight(world, ann)
    world.table.set_rate({2: ann}.get(level, level), MB)
    world.engines[0].settle(0, 0)
    for row in (SERVER, 1, ann):
        assert world.table.row(row)["fill_bytes"] == 0


def test_a_group_that_a_client_has_joined_is_given_back_nothing_for_it() -> None:
    """But the one that was charged is."""
    world = World(1)
    ann = world.rows[0]
    world.table.allow(1, MB)
    world.table.allow(2, MB)
    world.table.allow(ann, 0, group=1)
    n = in_flight(world, ann)
    assert world.table.row(1)["fill_bytes"] == pytest.approx(-n, abs=1)
    world.table.move(ann, 2)
    world.engines[0].settle(0, 0)
    assert world.table.row(1)["fill_bytes"] == pytest.approx(0, abs=1)
    assert world.table.row(2)["fill_bytes"] == 0
