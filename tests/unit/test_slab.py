"""Slots with generations: a stale name never reaches a new owner."""

from __future__ import annotations

import errno

from hypothesis import given, strategies as st

from penstock import _testing


def test_slots_are_reused_last_in_first_out_and_zeroed() -> None:
    slab = _testing.SlotSlab(3)
    assert [slab.take() for _ in range(3)] == [0, 1, 2]
    slab.write(1, 7)
    slab.release(0)
    slab.release(1)
    assert slab.take() == 1
    assert slab.read(1) == 0
    assert slab.take() == 0


def test_a_full_slab_says_so() -> None:
    slab = _testing.SlotSlab(2)
    assert (slab.take(), slab.take()) == (0, 1)
    assert slab.take() == -errno.ENOSPC
    slab.release(0)
    assert slab.take() == 0


def test_a_slot_that_was_never_taken_is_not_live() -> None:
    slab = _testing.SlotSlab(4)
    assert not any(slab.live(i, g) for i in range(4) for g in range(4))


@given(st.lists(st.integers(0, 9), max_size=200))
def test_only_the_present_owner_is_live(steps: list[int]) -> None:
    slab = _testing.SlotSlab(5)
    owned: list[tuple[int, int]] = []
    stale: set[tuple[int, int]] = set()
    for step in steps:
        if step < 6:
            index = slab.take()
            if index < 0:
                assert len(owned) == 5
                continue
            owned.append((index, slab.generation(index)))
        elif owned:
            index, generation = owned.pop(step % len(owned))
            slab.release(index)
            stale.add((index, generation))
        assert slab.used == len(owned)
        assert all(slab.live(i, g) for i, g in owned)
        assert not any(slab.live(i, g) for i, g in stale)
        assert len({i for i, _ in owned}) == len(owned)
