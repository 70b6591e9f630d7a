"""Caps: the lowest holds, and the table is told of what differs, no more, no less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.caps import Cap, CapBook, Target, lowest
from tests.control.fakecaps import FakeCaps

SERVER, ALICE = Target("server"), Target("client", "alice")
GROUP, DEFAULT = Target("group", "g"), Target("default")


def as_told(caps: dict[Target, Cap]) -> dict[str, tuple[int, str]]:
    return {str(target): tuple(cap) for target, cap in caps.items()}


targets = st.sampled_from([SERVER, ALICE, GROUP, DEFAULT])
caps = st.builds(Cap, st.integers(1, 4), st.sampled_from(["schedule", "quota"]))
wanted = st.dictionaries(targets, caps)


@given(wanted, wanted)
def test_the_lowest_of_two_causes_holds(
    first: dict[Target, Cap], second: dict[Target, Cap]
) -> None:
    both = lowest(first, second)
    assert both.keys() == first.keys() | second.keys()
    for target, cap in both.items():
        given_caps = [c[target] for c in (first, second) if target in c]
        assert cap in given_caps
        assert cap.rate_bps == min(c.rate_bps for c in given_caps)


@given(st.lists(wanted, max_size=6))
def test_the_table_has_what_was_wanted_last_with_no_idle_call(
    several: list[dict[Target, Cap]],
) -> None:
    table = FakeCaps()
    book = CapBook(table)
    for now in several:
        before, table.calls = dict(table.caps), []
        book.apply(now)
        assert table.caps == as_told(now)
        changed = {
            t for t in before.keys() | table.caps if before.get(t) != table.caps.get(t)
        }
        assert sorted(call[0] for call in table.calls) == sorted(changed)


def test_everything_is_said_again_after_the_table_was_configured() -> None:
    table = FakeCaps()
    book = CapBook(table)
    book.apply({SERVER: Cap(5, "schedule"), GROUP: Cap(6, "quota")})
    table.caps.clear()
    book.apply({SERVER: Cap(5, "schedule")}, again=True)
    assert table.calls[2:] == [("group:g", 0, "schedule"), ("server", 5, "schedule")]


def test_a_client_without_a_row_gets_none_and_is_told_when_it_has_one() -> None:
    table = FakeCaps()
    table.missing.add("alice")
    book = CapBook(table)
    book.apply({ALICE: Cap(5, "quota")})
    assert table.calls == []
    table.missing.clear()
    book.check(ALICE, 0)
    assert table.caps == {"client:alice": (5, "quota")}
    book.check(ALICE, 5)
    assert len(table.calls) == 1


def test_a_group_that_is_gone_does_no_harm() -> None:
    table = FakeCaps()
    book = CapBook(table)
    book.apply({GROUP: Cap(5, "quota"), SERVER: Cap(6, "quota")})
    table.missing.add("g")
    book.apply({SERVER: Cap(7, "quota")})
    assert table.caps["server"] == (7, "quota")


def test_a_row_with_the_cap_of_somebody_else_loses_it() -> None:
    table = FakeCaps()
    table.caps["client:alice"] = (5, "quota")
    CapBook(table).check(ALICE, 5)
    assert table.caps == {}


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("server", SERVER),
        ("default", DEFAULT),
        ("client:alice", ALICE),
        ("client:a:b", Target("client", "a:b")),
        ("client:2001:db8::1", Target("client", "2001:db8::/64")),
        ("client:server", Target("client", "server")),
        ("group:g", GROUP),
    ],
)
def test_a_target_is_written_with_its_kind(text: str, target: Target) -> None:
    assert Target.parse(text) == target
    assert Target.parse(str(target)) == target
