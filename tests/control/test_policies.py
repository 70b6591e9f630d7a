"""Policies: whom an alert concerns, and what that caps."""

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from penstock.caps import Cap, Target
from penstock.policies import Policy
from penstock.rates import MAX_RATE_BPS

ALERT = {"alertname": "UplinkSaturated", "site": "a"}


def policy(**keys: Any) -> Policy:
    base = {"alert": "UplinkSaturated", "applies_to": ["server"]}
    if not {"scale", "rate"} & keys.keys():
        base["rate"] = 1000
    return Policy.model_validate({**base, **keys})


@pytest.mark.parametrize(
    ("asked", "labels", "concerned"),
    [
        ({}, ALERT, True),
        ({}, {**ALERT, "alertname": "Other"}, False),
        ({}, {}, False),
        ({"site": "a"}, ALERT, True),
        ({"site": "b"}, ALERT, False),
        ({"site": "a", "link": "1"}, ALERT, False),
        ({"link": ""}, ALERT, True),
        ({"site": ""}, ALERT, False),
    ],
)
def test_an_alert_has_the_name_and_every_label_that_is_asked_for(
    asked: dict[str, str], labels: dict[str, str], concerned: bool
) -> None:
    assert policy(labels=asked).concerns(labels) is concerned


def test_a_rate_holds_whatever_is_configured() -> None:
    one = policy(rate="5MB/s", applies_to=["server", "client:a"])
    assert one.caps(lambda _: 0) == {
        Target("server"): Cap(5_000_000, "policy"),
        Target("client", "a"): Cap(5_000_000, "policy"),
    }


def test_a_scale_is_a_part_of_each_targets_own_rate_and_no_cap_without_one() -> None:
    rates = {Target("server"): 100, Target("group", "g"): 41, Target("default"): 0}
    one = policy(scale=0.5, applies_to=[str(target) for target in rates])
    assert one.caps(rates.__getitem__) == {
        Target("server"): Cap(50, "policy"),
        Target("group", "g"): Cap(20, "policy"),
    }


@given(
    st.integers(1, MAX_RATE_BPS),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_a_part_of_a_rate_is_a_rate_and_not_above_it(rate: int, scale: float) -> None:
    assert 1 <= policy(scale=scale).cap_bps(rate) <= rate


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"scale": 0.5, "rate": 1000}, "say either rate, or scale"),
        ({"scale": None}, "say either rate, or scale"),
        ({"scale": 0}, "0 is not a part of the configured rate"),
        ({"scale": 1}, "1 is not a part"),
        ({"scale": -0.5}, "above 0, below 1"),
        ({"scale": float("nan")}, "nan is not a part"),
        ({"scale": True}, "true is not a part"),
        ({"rate": 0}, "is not from 1 to"),
        ({"alert": ""}, "1 to 256 printable characters"),
        ({"alert": "a\n"}, "1 to 256 printable characters"),
        ({"labels": {"alertname": "x"}}, "is said by alert"),
        ({"labels": {"a-b": "x"}}, "'a-b' is not the name of a label"),
        ({"labels": {"a": 1}}, "valid string"),
        ({"labels": {f"a{i}": "" for i in range(33)}}, "at most 32 are possible"),
        ({"applies_to": []}, "must be a list"),
        ({"applies_to": ["uplink"]}, "names nothing"),
        ({"expires": "999ms"}, "999ms is not from 1s to 168h"),
        ({"expires": "169h"}, "is not from 1s to 168h"),
        ({"until": 1}, "Extra inputs"),
    ],
)
def test_a_policy_that_can_not_hold_is_refused_with_the_reason(
    keys: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        policy(**keys)
