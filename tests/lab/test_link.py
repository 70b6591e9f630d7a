"""A modelled link, with a clock by hand."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st

from perf.lab.link import Link, Shape, Statistics
from tests.lab.packets import CE, ECT_0, NOT_ECT, ipv4

MS = 1_000_000
SECOND = 1000 * MS


def packet(number: int, size: int = 1000, ecn: int = ECT_0) -> bytes:
    return ipv4(bytes(size - 20), ecn, ident=number)


def number(packet: bytes) -> int:
    return int.from_bytes(packet[4:6], "big")


def arrivals(link: Link, until_ns: int) -> list[tuple[int, int]]:
    """Number and time of all that arrive by then, asked whenever the link wants it."""
    found = []
    while (now_ns := link.next_ns()) <= until_ns:
        found += [(number(data), int(now_ns)) for data in link.due(int(now_ns))]
    return found


def test_a_packet_arrives_after_the_delay() -> None:
    link = Link(Shape(delay_ns=20 * MS), seed=1)
    link.offer(packet(1), 5)
    assert link.next_ns() == 20 * MS + 5
    assert list(link.due(20 * MS + 4)) == []
    assert list(link.due(20 * MS + 5)) == [packet(1)]
    assert link.next_ns() == math.inf


def test_packets_leave_at_the_rate_and_then_take_the_delay() -> None:
    link = Link(Shape(delay_ns=MS, rate_bps=100_000), seed=1)
    for n in range(3):
        link.offer(packet(n), 0)
    assert arrivals(link, SECOND) == [(0, 11 * MS), (1, 21 * MS), (2, 31 * MS)]


def test_a_pause_saves_no_rate_up() -> None:
    link = Link(Shape(rate_bps=100_000), seed=1)
    link.offer(packet(1), 0)
    link.offer(packet(2), SECOND)
    link.offer(packet(3), SECOND)
    times = [at for _, at in arrivals(link, 2 * SECOND)]
    assert times == [10 * MS, SECOND + 10 * MS, SECOND + 20 * MS]


def test_who_finds_no_room_is_dropped_and_room_comes_back_as_packets_leave() -> None:
    link = Link(Shape(rate_bps=100_000, queue_bytes=2500), seed=1)
    for n in range(4):
        link.offer(packet(n), 0)
    assert link.statistics.queue_drops == 2
    assert link.statistics.queued_bytes == 2000
    link.offer(packet(4), 10 * MS)
    assert [n for n, _ in arrivals(link, SECOND)] == [0, 1, 4]
    assert link.statistics.queued_bytes == 0


def test_one_packet_always_has_room() -> None:
    link = Link(Shape(rate_bps=1000, queue_bytes=0), seed=1)
    link.offer(packet(1), 0)
    link.offer(packet(2), 0)
    assert [n for n, _ in arrivals(link, 10 * SECOND)] == [1]


def test_as_many_are_lost_as_wanted() -> None:
    link = Link(Shape(loss=0.15), seed=1)
    for n in range(10_000):
        link.offer(packet(n), n)
    assert link.statistics.lost == pytest.approx(1500, abs=150)
    assert len(arrivals(link, SECOND)) == 10_000 - link.statistics.lost


def fates(seed: int, rate_bps: int, gap_ns: int) -> list[int]:
    """Which of 300 packets are not lost, with a change at the 100th and back."""
    link = Link(Shape(loss=0.2, rate_bps=rate_bps), seed)
    for n in range(300):
        if n in (100, 200):
            loss = 0.0 if n == 100 else 0.2
            link.change(Shape(loss=loss, rate_bps=rate_bps), n * gap_ns)
        link.offer(packet(n), n * gap_ns)
    return [n for n, _ in arrivals(link, 10**15)]


def test_with_one_seed_every_packet_has_one_fate_whatever_the_times() -> None:
    assert fates(7, 0, 0) == fates(7, 50_000, MS) == fates(7, 10**9, SECOND)
    assert fates(7, 0, 0) != fates(8, 0, 0)


def test_marks_and_losses_are_drawn_apart() -> None:
    link = Link(Shape(loss=0.5, ce=0.5), seed=3)
    for n in range(1000):
        link.offer(packet(n), 0)
    assert 0 < link.statistics.marked < 1000 - link.statistics.lost


def test_who_understands_no_marks_is_not_counted_as_marked() -> None:
    link = Link(Shape(ce=1.0), seed=1)
    for n, ecn in enumerate([NOT_ECT, ECT_0, CE]):
        link.offer(packet(n, ecn=ecn), 0)
    assert [data[1] for data in link.due(0)] == [NOT_ECT, CE, CE]
    assert link.statistics.marked == 1


def test_who_waited_long_for_the_rate_is_marked() -> None:
    link = Link(Shape(rate_bps=100_000, mark_above_ns=25 * MS), seed=1)
    for n in range(4):
        link.offer(packet(n), 0)
    assert [data[1] for data in link.due(SECOND)] == [ECT_0, ECT_0, CE, CE]


def test_a_shorter_delay_lets_no_packet_overtake() -> None:
    link = Link(Shape(delay_ns=50 * MS), seed=1)
    link.offer(packet(1), 0)
    link.change(Shape(delay_ns=MS), 10 * MS)
    link.offer(packet(2), 10 * MS)
    assert arrivals(link, SECOND) == [(1, 50 * MS), (2, 50 * MS)]


def test_what_waits_leaves_at_the_new_rate_and_not_in_a_burst() -> None:
    link = Link(Shape(rate_bps=100), seed=1)  # ten seconds for each
    for n in range(3):
        link.offer(packet(n), 0)
    link.change(Shape(rate_bps=100_000), 9 * SECOND)
    times = [at for _, at in arrivals(link, 60 * SECOND)]
    assert times == [9 * SECOND + 10 * MS * n for n in (1, 2, 3)]


def test_how_late_a_packet_was_handed_over_is_told() -> None:
    link = Link(Shape(delay_ns=MS), seed=1)
    link.offer(packet(1), 0)
    list(link.due(5 * MS))
    link.offer(packet(2), 6 * MS)
    list(link.due(7 * MS))
    assert link.statistics.late_max_ns == 4 * MS


shapes = st.builds(
    Shape,
    delay_ns=st.integers(0, 10 * MS),
    rate_bps=st.integers(0, 10**7),
    queue_bytes=st.integers(0, 20_000),
    loss=st.floats(0, 1),
    ce=st.floats(0, 1),
    mark_above_ns=st.integers(0, 10 * MS),
)
steps = st.tuples(st.integers(0, 5 * MS), st.none() | shapes, st.integers(20, 1500))


@given(shapes, st.lists(steps, max_size=60), st.integers())
def test_no_packet_is_forgotten_and_none_overtakes(
    first: Shape, steps: list[tuple[int, Shape | None, int]], seed: int
) -> None:
    link, now_ns, arrived = Link(first, seed), 0, []
    for n, (gap_ns, shape, size) in enumerate(steps):
        now_ns += gap_ns
        arrived += list(link.due(now_ns))
        if shape is not None:
            link.change(shape, now_ns)
        link.offer(packet(n, size), now_ns)
        counts = link.statistics
        assert 0 <= counts.on_its_way() <= n + 1
    link.change(Shape(), now_ns)
    arrived += list(link.due(now_ns + SECOND))
    counts = link.statistics
    assert counts.on_its_way() == 0 == counts.queued_bytes
    assert counts.packets == len(steps)
    assert counts.delivered == len(arrived)
    numbers = [number(data) for data in arrived]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    "wrong",
    [{"loss": 1.1}, {"loss": math.nan}, {"ce": -0.1}, {"rate_bps": -1}],
    ids=str,
)
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Shape(**wrong)  # type: ignore[arg-type]


def test_statistics_begin_at_nothing() -> None:
    assert {getattr(Statistics(), f.name) for f in fields(Statistics)} == {0}
