"""Quotas: stages instead of refusals, per client, group or server, per day or month."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from penstock.caps import Cap, Target
from penstock.quotas import Account, Ledger, Quota
from penstock.usage import Sent
from tests.control.test_calendars import utc

NOON = utc("2026-11-24T12:00")
STAGES = [
    {"at": 0.8, "rate": "20MB/s"},
    {"at": 1.0, "rate": "2MB/s"},
    {"at": 2, "rate": "200KB/s"},
]
ALICE = Target("client", "alice")


def quota(**keys: Any) -> Quota:
    base = {"applies_to": ["default"], "per": "day", "bytes": 1000, "stages": STAGES}
    return Quota.model_validate(base | keys)


def ledger(accounts_max: int = 100, now: datetime = NOON, **quotas: Quota) -> Ledger:
    return Ledger(quotas, accounts_max, now)


def sent(n_bytes: int, client_id: str = "alice", **keys: Any) -> list[Sent]:
    return [Sent(client_id, n_bytes, **keys)]


def used(book: Ledger, name: str = "q") -> dict[str, int]:
    return {str(t): n for t, n in book.accounts[name].used_bytes.items()}


@pytest.mark.parametrize(
    ("n_bytes", "stage"),
    [(0, 0), (799, 0), (800, 1), (999, 1), (1000, 2), (1999, 2), (2000, 3), (10**9, 3)],
)
def test_a_stage_begins_at_its_part_of_the_volume(n_bytes: int, stage: int) -> None:
    assert quota().stage_of(n_bytes) == stage
    book = ledger(q=quota())
    book.count(sent(n_bytes), NOON)
    rates = [None, 20_000_000, 2_000_000, 200_000]
    expected = rates[stage]
    assert book.caps() == ({ALICE: Cap(expected, "quota")} if expected else {})
    [use] = book.uses("alice", None, is_default=True)
    assert (use.used_bytes, use.stage, use.rate_bps) == (n_bytes, stage, expected)
    assert use.ends_at == utc("2026-11-25T00:00")


def test_usage_adds_up_and_the_cap_follows_it() -> None:
    book = ledger(q=quota())
    caps = []
    for _ in range(5):
        changes = book.changes
        book.count(sent(400), NOON)
        caps.append((book.changes > changes, book.caps().get(ALICE)))
    assert caps == [
        (False, None),
        (True, Cap(20_000_000, "quota")),
        (True, Cap(2_000_000, "quota")),
        (False, Cap(2_000_000, "quota")),
        (True, Cap(200_000, "quota")),
    ]


def test_each_client_of_the_default_class_has_the_volume_for_itself() -> None:
    book = ledger(q=quota())
    book.count([Sent("alice", 900), Sent("bob", 100)], NOON)
    book.count([Sent("vip", 5000, is_default=False)], NOON)
    assert used(book) == {"client:alice": 900, "client:bob": 100}
    assert set(book.caps()) == {ALICE}
    assert book.uses("vip", None, is_default=False) == []


def test_a_group_and_the_server_add_up_what_their_clients_use() -> None:
    book = ledger(q=quota(applies_to=["group:g", "server", "client:alice"]))
    book.count([Sent("alice", 500, "g"), Sent("bob", 400, "g"), Sent("eve", 200)], NOON)
    assert used(book) == {"group:g": 900, "server": 1100, "client:alice": 500}
    assert book.caps() == {
        Target("group", "g"): Cap(20_000_000, "quota"),
        Target("server"): Cap(2_000_000, "quota"),
    }
    named = {str(use.applies_to): use.stage for use in book.named_uses()}
    assert named == {"group:g": 1, "server": 2, "client:alice": 0}


def test_a_client_that_is_named_and_of_the_default_class_is_counted_once() -> None:
    book = ledger(q=quota(applies_to=["client:alice", "default"]))
    book.count(sent(300), NOON)
    assert used(book) == {"client:alice": 300}


def test_of_two_quotas_the_lower_rate_holds() -> None:
    book = ledger(
        day=quota(stages=[{"at": 1, "rate": 500}]),
        month=quota(per="month", stages=[{"at": 1, "rate": 100}]),
    )
    book.count(sent(1000), NOON)
    assert book.caps() == {ALICE: Cap(100, "quota")}
    book.count([], NOON + timedelta(days=1))
    assert book.caps() == {ALICE: Cap(100, "quota")}
    book.count([], NOON + timedelta(days=7))
    assert book.caps() == {}


def test_a_new_day_begins_at_midnight_of_the_zone() -> None:
    book = ledger(q=quota(timezone="Europe/Berlin"))
    book.count(sent(1000), NOON)
    book.count([], utc("2026-11-24T22:59:59"))
    assert book.caps() == {ALICE: Cap(2_000_000, "quota")}
    changes = book.changes
    book.count(sent(1), utc("2026-11-24T23:00"))
    assert book.caps() == {}
    assert book.changes > changes
    assert used(book) == {"client:alice": 1}


def test_a_clock_that_was_set_back_and_is_set_right_forgets_no_usage() -> None:
    book = ledger(q=quota())
    book.count(sent(1000), NOON)
    book.count(sent(15), NOON - timedelta(days=2))
    assert used(book) == {"client:alice": 1015}
    book.count(sent(1), NOON)
    assert used(book) == {"client:alice": 1016}
    assert book.caps() == {ALICE: Cap(2_000_000, "quota")}
    book.count(sent(3), NOON + timedelta(days=1))
    assert used(book) == {"client:alice": 3}


def test_a_clock_that_was_years_ahead_does_not_keep_usage_for_years() -> None:
    book = ledger(q=quota())
    book.count(sent(1000), NOON + timedelta(days=1500))
    book.count(sent(10), NOON)
    [use] = book.uses("alice", None, is_default=True)
    assert use.ends_at == utc("2026-11-25T00:00")
    book.count(sent(5), use.ends_at - timedelta(seconds=1))
    assert used(book) == {"client:alice": 1015}
    book.count(sent(5), use.ends_at)
    assert used(book) == {"client:alice": 5}


def test_a_clock_that_trembles_at_midnight_does_no_harm() -> None:
    book = ledger(q=quota())
    midnight, hair = utc("2026-11-25T00:00"), timedelta(milliseconds=1)
    book.count(sent(900), midnight - hair)
    for moment in (midnight, midnight - hair, midnight, midnight + hair):
        book.count(sent(10), moment)
    assert 10 <= used(book)["client:alice"] <= 40


def test_a_full_book_forgets_those_who_used_least() -> None:
    book = ledger(accounts_max=16, q=quota())
    for i in range(16):
        book.count(sent(1000 + i, f"c{i}"), NOON)
    changes = book.changes
    book.count(sent(1, "late"), NOON)
    # One too many, and an eighth of room for the next.
    assert set(used(book)) == {f"client:c{i}" for i in range(2, 16)}
    assert book.dropped_total == 3
    assert book.changes > changes
    assert set(book.caps()) == {Target("client", f"c{i}") for i in range(2, 16)}


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 10**6)), max_size=300))
def test_memory_is_bounded_whatever_comes(usage: list[tuple[int, int]]) -> None:
    book = ledger(accounts_max=20, q=quota())
    for client, n_bytes in usage:
        book.count(sent(n_bytes, f"c{client}"), NOON)
        assert len(book.accounts["q"].used_bytes) <= 20
        assert book.slowed("q") <= 20
    assert set(book.caps()) <= set(book.accounts["q"].used_bytes)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]), st.integers(0, 900), st.integers(-9000, 90000)
        ),
        max_size=40,
    )
)
def test_the_caps_are_always_those_of_the_usage(
    steps: list[tuple[str, int, int]],
) -> None:
    one = quota(applies_to=["default", "server"])
    book, now = ledger(q=one), NOON
    for client, n_bytes, seconds in steps:
        now += timedelta(seconds=seconds)
        book.count(sent(n_bytes, client), now)
        expected = {
            target: one.cap_at(one.stage_of(n))
            for target, n in book.accounts["q"].used_bytes.items()
            if one.stage_of(n)
        }
        assert book.caps() == expected


def test_a_reload_keeps_the_usage_and_judges_it_by_the_new_volume() -> None:
    book = ledger(q=quota())
    book.count(sent(900), NOON)
    book.configure({"q": quota(bytes=2000)}, NOON)
    assert book.caps() == {}
    book.configure({"q": quota(bytes=450)}, NOON)
    assert book.caps() == {ALICE: Cap(200_000, "quota")}
    book.configure({"q": quota(applies_to=["server"])}, NOON)
    assert used(book) == {}
    book.configure({}, NOON)
    assert book.accounts == {}
    assert book.caps() == {}


def test_a_reload_from_day_to_month_begins_anew() -> None:
    book = ledger(q=quota())
    book.count(sent(900), NOON)
    book.configure({"q": quota(per="month")}, NOON)
    assert used(book) == {}


def test_usage_from_before_a_restart_counts_in_the_same_period_only() -> None:
    before = ledger(q=quota())
    before.count(sent(1000), NOON)
    saved = before.accounts
    after = Ledger({"q": quota()}, 100, NOON + timedelta(hours=1), saved)
    assert after.caps() == {ALICE: Cap(2_000_000, "quota")}
    gone = Account(NOON.date(), {ALICE: 1000})
    later = Ledger({"q": quota()}, 100, NOON + timedelta(days=1), {"q": gone})
    assert later.caps() == {}
    assert used(later) == {}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"bytes": 0}, "0 is not from 1 to"),
        ({"bytes": "50 apples"}, "unknown unit 'apples'"),
        ({"per": "week"}, "Input should be 'day' or 'month'"),
        ({"stages": []}, "1 to 16 stages are possible, not 0"),
        ({"stages": [STAGES[1], STAGES[0]]}, "must come later and be slower"),
        (
            {"stages": [{"at": 1, "rate": 5}, {"at": 2, "rate": 5}]},
            "at 2 5B/s must come later and be slower than at 1 5B/s",
        ),
        (
            {"stages": [{"at": 1, "rate": 5}, {"at": 1, "rate": 4}]},
            "at 1 4B/s must come later and be slower than at 1 5B/s",
        ),
        ({"stages": [{"at": 0, "rate": 5}]}, "0 is not a part of the volume"),
        ({"stages": [{"at": "80%", "rate": 5}]}, "'80%' is not a part of the volume"),
        ({"stages": [{"at": True, "rate": 5}]}, "true is not a part of the volume"),
        ({"timezone": "Nowhere"}, "'Nowhere' is not a time zone"),
    ],
)
def test_what_is_wrong_with_a_quota_is_explained(
    keys: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        quota(**keys)


def test_not_a_number_is_no_part_of_the_volume() -> None:
    with pytest.raises(ValidationError, match="is not a part of the volume"):
        quota(stages=[{"at": float("nan"), "rate": 5}])


def test_the_end_of_a_month_is_in_its_zone() -> None:
    book = ledger(
        now=datetime(2026, 11, 30, 23, 30, tzinfo=UTC),
        q=quota(per="month", timezone="Europe/Berlin"),
    )
    [use] = book.uses("alice", None, is_default=True)
    assert use.ends_at == utc("2026-12-31T23:00")
