"""A full client table: who gives a row to whom, and that nobody gains by it."""

import threading

import pytest
from hypothesis import given, settings, strategies as st

from penstock import _testing

SECOND = 10**9
START = SECOND
RATE = 100_000
QUANTUM = _testing.quantum(RATE)
EXACT_ROWS_MAX = _testing.RECYCLE["rows_max"]


def full(rows: int, rate_bps: int = 0) -> _testing.ClientRows:
    """Clients 0, 1 … were active one after the other, a second each, and are idle."""
    table = _testing.ClientRows(rows, rate_bps, START)
    for number in range(rows):
        now = START + number * SECOND
        row = table.hold(number, now)
        table.take(row, now)
        table.leave(row)
    return table


def known(table: _testing.ClientRows, rows: int) -> list[int]:
    return [number for number in range(rows) if table.knows(number)]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64, 100, EXACT_ROWS_MAX])
def test_the_client_that_was_idle_longest_gives_its_row(rows: int) -> None:
    table = full(rows)
    for n in range(min(rows, 5)):
        row = table.hold(1000 + n, START + 2 * rows * SECOND)
        assert row is not None
        assert table.has(row, 1000 + n)
        assert known(table, rows) == list(range(n + 1, rows))
    assert table.recycled == min(rows, 5)
    assert table.overflow == 0


def test_in_a_large_table_it_is_one_of_those_that_were_idle_long() -> None:
    rows = 20_000
    table = full(rows)
    arrivals = 200
    for n in range(arrivals):
        assert table.hold(rows + n, START + 2 * rows * SECOND) is not None
    gone = [number for number in range(rows) if not table.knows(number)]
    assert len(gone) == arrivals
    assert sum(gone) / arrivals < 0.03 * rows, "the oldest of 64: 1.5 % on average"
    assert max(gone) < 0.15 * rows


def test_a_row_in_use_stays() -> None:
    table = full(4)
    now = START + 100 * SECOND
    held = [table.hold(number, now) for number in range(4)]
    assert table.hold(50, now) is None
    assert table.overflow == 1
    assert known(table, 4) == [0, 1, 2, 3]
    table.leave(held[2])
    row = table.hold(50, now)
    assert row == held[2]
    assert known(table, 4) == [0, 1, 3]


def test_a_named_row_and_one_with_a_cap_stay() -> None:
    table = full(3)
    first = table.first
    now = START + 100 * SECOND
    table.name(first, True)
    table.cap(first + 1, 5)
    assert table.hold(50, now) == first + 2
    assert table.hold(51, now) is None
    table.name(first, False)
    assert table.hold(51, now) == first


def test_a_row_that_owes_stays_until_it_has_paid() -> None:
    table = _testing.ClientRows(1, RATE, START)
    row = table.hold(1, START)
    assert table.take(row, START) > 0
    table.leave(row)
    assert table.row(row, START)["owes"]
    assert table.hold(2, START) is None
    later = START + SECOND
    assert table.hold(2, later) == row


def test_nothing_of_the_client_before_stays() -> None:
    table = full(1, RATE)
    later = START + 5 * SECOND
    row = table.first
    assert table.row(row, later)["bytes"] > 0
    assert table.row(row, later)["fill"] > 0
    assert table.hold(9, later) == row
    assert table.row(row, later) == {
        "fill": 0,
        "owes": False,
        "bytes": 0,
        "mean": 0,
        "active_ns": later,
    }
    assert not table.knows(0)
    assert not table.has(row, 0)


def test_a_client_that_comes_back_has_no_more_than_it_left() -> None:
    table = _testing.ClientRows(1, RATE, START)
    granted = 0
    for step in range(200):
        now = START + step * SECOND // 20
        for number in (1, 2):
            row = table.hold(number, now)
            if row is not None:
                granted += table.take(row, now)
                table.leave(row)
    assert granted <= RATE * 10 + 2 * QUANTUM


events = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 3), st.integers(0, SECOND // 5)),
    max_size=300,
)


@settings(deadline=None)
@given(events, st.integers(1, 4))
def test_whoever_changes_its_key_gains_nothing(
    steps: list[tuple[int, int, int]], rows: int
) -> None:
    """However many keys: a row earns its rate, and one quantum on debt."""
    table = _testing.ClientRows(rows, RATE, START)
    now = START
    granted = dict.fromkeys(range(rows), 0)
    for number, takes, wait_ns in steps:
        now += wait_ns
        row = table.hold(number, now)
        if row is None:
            continue
        for _ in range(takes):
            granted[row - table.first] += table.take(row, now)
        assert table.has(row, number)
        table.leave(row)
    seconds = (now - START) / SECOND
    for total in granted.values():
        assert total <= RATE * seconds + QUANTUM + 1
    assert table.idle()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=150),
    st.integers(1, 5),
)
def test_held_rows_keep_their_client_and_others_go_oldest_first(
    steps: list[tuple[int, bool]], rows: int
) -> None:
    table = _testing.ClientRows(rows, 0, START)
    held: dict[int, int] = {}
    active: dict[int, int] = {}  # of those that have a row: when last
    for at, (number, stays) in enumerate(steps):
        now = START + at * SECOND
        row = held.get(number)
        if row is None:
            row = table.hold(number, now)
            idle = [n for n in active if n not in held and n != number]
            if row is None:
                assert number not in active
                assert len(held) == rows
                continue
            if number not in active and len(active) == rows:
                del active[min(idle, key=active.__getitem__)]
        table.take(row, now)
        active[number] = now
        if stays:
            held[number] = row
        else:
            table.leave(row)
            held.pop(number, None)
        assert all(table.has(r, n) for n, r in held.items())
        assert {n for n in range(13) if table.knows(n)} == set(active)


def test_threads_that_come_and_go_never_meet_in_a_row() -> None:
    """With more keys than rows: every row changes its client all the time."""
    table = _testing.ClientRows(8, 0, 0)
    results: list[tuple[int, int]] = []

    def visit(seed: int) -> None:
        results.append(table.visit_many(seed, 24, 150_000))

    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [wrong for wrong, _ in results] == [0] * 4
    assert table.idle()
    assert table.recycled > 1000
    assert sum(1 for n in range(24) if table.knows(n)) == 8
