"""From keys to rows, while both come and go; and who holds a row."""

import errno
import random
import threading

from hypothesis import given, settings, strategies as st

from penstock import _testing

STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 7), st.integers(0, 3)), max_size=200
)


@given(STEPS)
def test_a_map_finds_what_is_in_it_and_nothing_else(
    steps: list[tuple[bool, int, int]],
) -> None:
    """Keys that collide in their slot, in what a slot remembers of them, or in both."""
    names = _testing.RowNames(4)  # 16 slots
    model: dict[int, int] = {}  # row -> key
    for put, row, high in steps:
        if put and row not in model:
            model[row] = high << 40 | row % 3
            assert names.put(model[row], row) == 0
        elif not put and row in model:
            names.drop(model.pop(row), row)
        for key in [h << 40 | low for h in range(4) for low in range(3)]:
            found = names.rows(key)
            assert set(found) >= {r for r, k in model.items() if k == key}
            assert all(model[r] >> 32 == key >> 32 for r in found)
            assert len(set(found)) == len(found)


def test_a_map_never_fills_so_far_that_nothing_ends_a_look_up() -> None:
    names = _testing.RowNames(4)
    puts = [names.put(n << 32, n) for n in range(20)]
    assert puts.count(0) == names.capacity // 2
    assert set(puts) == {0, -errno.ENOSPC}
    assert names.rows(99 << 32) == []


def test_looking_up_stays_short_however_many_keys_came_and_went() -> None:
    rows = 1000
    names = _testing.RowNames(rows)
    pick = random.Random(7)
    live = [pick.getrandbits(64) for _ in range(rows)]
    for row, key in enumerate(live):
        assert names.put(key, row) == 0
    for _ in range(50 * names.capacity):
        row = pick.randrange(rows)
        names.drop(live[row], row)
        live[row] = pick.getrandbits(64)
        assert names.put(live[row], row) == 0
    ways = [names.way(pick.getrandbits(64)) for _ in range(10_000)]
    assert sum(ways) / len(ways) < 4, "about 2.2, a cache line has 8"
    assert max(ways) < 120
    assert all(row in names.rows(key) for row, key in enumerate(live))


def test_a_row_is_claimed_only_when_nobody_holds_it() -> None:
    row = _testing.RowHolders()
    assert row.join("connection")
    assert row.join("transfer")
    assert row.join("transfer")
    assert row.counts() == (1, 2)
    row.leave("connection")
    assert not row.claim()
    row.leave("transfer")
    row.leave("transfer")
    assert row.idle()
    assert row.claim()
    assert not row.join("connection")
    assert not row.join("transfer")
    assert not row.claim()
    assert row.counts() == (0, 0)
    row.admit()
    assert row.join("transfer")
    assert row.counts() == (0, 1)


def test_visitors_and_claims_from_many_threads_leave_nothing_behind() -> None:
    row = _testing.RowHolders()
    times = 200_000
    threads = [
        threading.Thread(target=visit, args=(times,))
        for visit in (row.visit_many, row.visit_many, row.claim_many, row.claim_many)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert row.idle()
    assert row.claim()
    row.admit()


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["connection", "transfer"]), max_size=30))
def test_joins_and_leaves_balance(units: list[str]) -> None:
    row = _testing.RowHolders()
    for unit in units:
        assert row.join(unit)
    assert row.counts() == (units.count("connection"), units.count("transfer"))
    for unit in units:
        row.leave(unit)
    assert row.idle()
