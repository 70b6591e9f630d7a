"""What is said of the controllers, and what they tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from penstock._engine import ClientTable
from penstock.allowances import MODES
from penstock.durations import SECOND_NS
from penstock.events import EVENTS_KEPT, EventLog
from penstock.feedback import FeedbackSettings
from penstock.steered import CUTS_TOLD_MAX, Steered
from tests.control.fakerows import FakeChange
from tests.control.files import rewrite


def test_the_defaults_are_the_engines_own() -> None:
    rules = FeedbackSettings.model_validate({}).rules()
    assert ClientTable(rows=1).feedback_rules() == rules


def test_what_is_said_is_what_holds() -> None:
    said = {
        "adaptive_floor": 0.5,
        "controller_loss": 0.7,
        "controller_ecn": 0.6,
        "breaker_loss": 0.3,
        "breaker_clean_loss": 0.1,
        "breaker_segments": 20,
        "breaker_samples": 3,
        "breaker_rate": 0.25,
        "breaker_clean": "60s",
        "breaker_freeze": "10m",
    }
    rules = FeedbackSettings.model_validate(said).rules()
    table = ClientTable(rows=1)
    table.set_feedback(rules)
    assert table.feedback_rules() == rules
    assert rules.breaker_clean_ns == 60 * 10**9


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"breaker_loss": 0}, "is not a part from above 0 to 1"),
        ({"breaker_loss": 1.5}, "is not a part from above 0 to 1"),
        ({"adaptive_floor": float("nan")}, "is not a part"),
        ({"controller_ecn": True}, "true is not a part"),
        ({"breaker_clean_loss": 0.2}, "a sample would be both"),
        ({"breaker_clean": "0s"}, "is not from 1s"),
        ({"breaker_segments": 0}, "is not from 1"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        FeedbackSettings.model_validate(said)


def breaker(change: str) -> Any:
    return FakeChange(
        "alice", "breaker", change, after_bps=400, rate_bps=1000, loss=0.2
    )


def cut(number: int) -> Any:
    return FakeChange(f"c{number}", "controller", "loss", before_bps=9, retrans=3)


def test_a_change_is_counted_and_told_with_its_numbers() -> None:
    events = EventLog()
    steered = Steered(events)
    steered.note([breaker("degraded")])
    assert steered.counts["breaker", "degraded"] == 1
    [event] = events.after(0)
    assert (event.kind, event.subject) == ("breaker", "client:alice")
    assert event.numbers["loss_ratio"] == 0.2
    assert event.numbers["after_bps"] == 400
    assert event.numbers["before_bps"] is None


class Passes:
    """Control passes, 20 a second, by a clock that only they move."""

    def __init__(self) -> None:
        self.events = EventLog()
        self.steered = Steered(self.events, lambda: self.now_ns)
        self.now_ns = 0

    def note(self, *changes: Any) -> None:
        self.now_ns += SECOND_NS // 20
        self.steered.note(changes)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events.after(0)]


def test_a_pass_with_many_cuts_tells_of_few_and_of_all_else() -> None:
    passes = Passes()
    passes.note(*(cut(i) for i in range(1000)), breaker("frozen"))
    assert passes.steered.counts["controller", "loss"] == 1000
    assert passes.kinds() == ["controller"] * CUTS_TOLD_MAX + ["breaker"]


def test_cuts_without_end_leave_what_else_happened_in_the_ring() -> None:
    passes = Passes()
    passes.events.publish("policy", "group:g", active=True)
    for _ in range(60 * 20):
        passes.note(*(cut(i) for i in range(20)))
    assert passes.kinds()[0] == "policy"
    assert 60 <= passes.kinds().count("controller") <= EVENTS_KEPT / 2
    assert passes.steered.counts["controller", "loss"] == 60 * 20 * 20


def test_a_frozen_breaker_is_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Steered(EventLog()).note([breaker("frozen"), breaker("closed")])
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]
    assert "20 % of segments lost" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_of_the_default_class_holds_for_clients_that_have_none(
    make_control: Callable[..., Any], mode: str
) -> None:
    control = make_control(
        f'[shaping]\nclient_mode = "{mode}"\n[clients.own]\nmode = "adaptive"\n'
    )
    assert control.tree.member("other").allowed.mode == mode
    assert control.tree.member("own").allowed.mode == "adaptive"


def test_who_sets_a_clients_limit_takes_over_from_the_breaker(
    make_control: Callable[..., Any],
) -> None:
    control = make_control("")
    control.set_limit("alice", 1000)
    assert control.clients.released == ["alice"]


@pytest.mark.parametrize("state", ["closed", "degraded", "frozen"])
def test_a_breaker_that_somebody_releases_is_told_and_counted_once(
    make_control: Callable[..., Any], state: str
) -> None:
    control = make_control('[clients.alice]\nmode = "full"\nrate = 1000')
    trip(control, state)
    control.set_limit("alice", 1000)
    control.set_limit("alice", 1000)
    released = [e for e in control.events.after(0) if e.kind == "breaker"]
    was_open = int(state != "closed")
    assert control.steered.counts["breaker", "released"] == len(released) == was_open
    for event in released:
        assert event.subject == "client:alice"
        assert event.numbers == {
            "change": "released",
            "before_bps": 400,
            "after_bps": None,
            "rate_bps": 1000,
            "mean_bps": 0,
        }


@pytest.mark.parametrize("mode", MODES)
def test_a_breaker_ends_with_the_mode_that_has_one(
    make_control: Callable[..., Any], mode: str
) -> None:
    control = make_control(f'[clients.alice]\nmode = "{mode}"')
    control.set_limit("alice", 1000, mode="full")
    trip(control, "degraded")
    control.drop_client("alice")
    released = control.steered.counts["breaker", "released"]
    assert released == (0 if mode == "full" else 1)


@pytest.mark.parametrize("mode", MODES)
def test_a_reload_that_takes_the_mode_away_releases_the_breaker(
    make_control: Callable[..., Any], mode: str
) -> None:
    control = make_control('[clients.alice]\nmode = "full"\n[clients.bob]')
    trip(control, "half_open")
    rewrite(control, f'[clients.alice]\nmode = "{mode}"\n[clients.bob]')
    control.reload()
    released = [e.subject for e in control.events.after(0) if e.kind == "breaker"]
    assert released == ([] if mode == "full" else ["client:alice"])


def trip(control: Any, state: str) -> None:
    rows = control.clients.rows
    rows["alice"] = rows["alice"]._replace(breaker=state, breaker_bps=400)
