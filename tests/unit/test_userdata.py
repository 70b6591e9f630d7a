"""The 64 bits that a completion brings back."""

from __future__ import annotations

from hypothesis import given, strategies as st

from penstock import _testing


@given(st.integers(0, 2**8 - 1), st.integers(0, 2**24 - 1), st.integers(0, 2**32 - 1))
def test_what_is_packed_comes_back(op: int, slot: int, generation: int) -> None:
    data = _testing.pack(op, slot, generation)
    assert 0 <= data < 2**64
    assert _testing.unpack(data) == (op, slot, generation)
