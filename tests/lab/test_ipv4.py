"""Congestion marks of packets."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perf.lab.ipv4 import is_ipv4, marked
from tests.lab.packets import CE, ECT_0, ECT_1, NOT_ECT, checksum, ipv4


@given(
    st.sampled_from([ECT_0, ECT_1]),
    st.integers(0, 63),
    st.integers(0, 65535),
    st.binary(max_size=40),
)
def test_a_mark_changes_the_two_bits_and_the_checksum_stays_right(
    ecn: int, dscp: int, ident: int, payload: bytes
) -> None:
    packet = ipv4(payload, ecn, dscp, ident)
    changed = marked(packet)
    assert changed is not None
    assert changed[1] == dscp << 2 | CE
    assert checksum(changed[:20]) == 0
    assert changed[:1] + changed[2:10] + changed[12:] == (
        packet[:1] + packet[2:10] + packet[12:]
    )


@pytest.mark.parametrize("ecn", [NOT_ECT, CE])
def test_only_who_understands_marks_gets_one_and_only_one(ecn: int) -> None:
    assert marked(ipv4(ecn=ecn)) is None


def test_what_is_not_ipv4_is_known() -> None:
    assert is_ipv4(ipv4())
    assert not is_ipv4(bytes([0x60]) + bytes(39))
    assert not is_ipv4(ipv4()[:19])
    assert not is_ipv4(b"")
