"""Caps: the lowest holds, and the table is told of what differs, no more, no less."""

import pytest
from hypothesis import given, strategies as st

from penstock.caps import TOLD_MAX, Cap, CapBook, Target, lowest
from penstock.events import EventLog
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


def test_who_watches_is_told_what_changed_and_why() -> None:
    log = EventLog()
    book = CapBook(FakeCaps(), log)
    book.apply({SERVER: Cap(5, "schedule"), GROUP: Cap(6, "quota")})
    book.apply({SERVER: Cap(5, "schedule"), GROUP: Cap(7, "schedule")}, again=True)
    book.check(SERVER, 0)
    book.apply({GROUP: Cap(7, "schedule")})
    assert [(e.kind, e.subject, e.numbers) for e in log.after(0)] == [
        ("schedule", "server", {"cap_bps": 5}),
        ("quota", "group:g", {"cap_bps": 6}),
        ("schedule", "group:g", {"cap_bps": 7}),
        ("schedule", "server", {"cap_bps": None}),
    ]


S8, S4 = Cap(8, "schedule"), Cap(4, "schedule")
P8, P6, P4 = Cap(8, "policy"), Cap(6, "policy"), Cap(4, "policy")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, S8, [("schedule", 8)]),
        (S8, P4, [("policy", 4)]),
        (S8, P8, [("policy", 8)]),
        (P4, None, [("policy", None)]),
        (None, P8, [("policy", 8)]),
        (P8, S4, [("schedule", 4)]),
        (S4, P8, [("policy", 8)]),
        (P8, P6, [("policy", 6)]),
        (S4, None, [("schedule", None)]),
        (P8, P8, []),
    ],
)
def test_whatever_caps_more_or_less_or_for_another_cause_is_told(
    before: Cap | None, after: Cap | None, told: list[tuple[str, int | None]]
) -> None:
    log = EventLog()
    book = CapBook(FakeCaps(), log)
    book.apply({GROUP: before} if before else {})
    seen = log.last
    book.apply({GROUP: after} if after else {})
    events = log.after(seen)
    assert [(e.kind, e.numbers["cap_bps"]) for e in events] == told


def test_a_change_of_thousands_is_told_in_short() -> None:
    log = EventLog()
    book = CapBook(FakeCaps(), log)
    many = {Target("client", f"c{i}"): Cap(1, "quota") for i in range(TOLD_MAX + 20)}
    book.apply(many)
    *told, rest = log.after(0)
    assert len(told) == TOLD_MAX
    assert (rest.kind, rest.subject) == ("quota", "server")
    assert rest.numbers == {"others": 20}


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
