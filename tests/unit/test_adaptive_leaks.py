"""When the adaptive target falls: for what no token can have paid."""

from __future__ import annotations

from tests.unit.test_adaptive import RATE, SLOTS, Client


def test_tokens_that_are_left_prevent_a_step_down() -> None:
    client = Client()
    assert client.seconds(30, 2 * RATE, exhausted=False) == []


def test_tokens_that_ran_out_only_once_prevent_it_too() -> None:
    client = Client()
    for _ in range(3):
        assert client.seconds(SLOTS - 1, 2 * RATE, exhausted=False) == []
        assert client.second(2 * RATE) == ""


def test_what_the_bucket_allowed_is_never_too_much() -> None:
    """A ceil that it borrowed up to, a burst that it saved."""
    client = Client()
    assert client.seconds(30, 4 * RATE, allowed_bps=4 * RATE) == []
    assert client.seconds(SLOTS, 4.1 * RATE, allowed_bps=4 * RATE) == ["lowered"]


def test_one_second_that_allowed_more_excuses_the_ten_that_it_is_one_of() -> None:
    client = Client()
    client.second(2 * RATE, allowed_bps=4 * RATE)
    assert client.seconds(SLOTS - 1, 2 * RATE) == []
    assert client.second(2 * RATE) == "lowered"
