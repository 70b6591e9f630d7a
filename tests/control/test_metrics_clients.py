"""Metrics of the clients: who is named, how even, and in small pieces."""

import pytest
import trio
from prometheus_client import CollectorRegistry

from penstock.metrics_clients import CLIENT_FAMILIES, ROWS_AT_ONCE
from penstock.telemetry import collect
from tests.control.fakerows import FakeChange, FakeRow
from tests.control.fakes import FakeClients, MakeControl
from tests.control.test_metrics import by_cause, of, scrape


def test_among_idle_clients_those_with_a_limit_of_their_own_are_named(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[telemetry]\ntop_clients = 1")
    for i in range(10):
        clients.rows[f"c{i}"] = FakeRow(f"c{i}", target_bps=1)
    control.set_limit("b", 7)
    assert of(scrape(control), "download_bandwidth_bytes_per_second")["b"] == 7


def test_jitter_is_shown_of_clients_that_have_some(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[telemetry]\ntop_clients = 2")
    for i, jitter in enumerate([0.3, None, 0.1, 0.2, None]):
        name = f"c{i}"
        clients.rows[name] = FakeRow(name, bytes_total=9 - i, jitter_ratio=jitter)
    series = scrape(control)
    assert of(series, "penstock_client_jitter_ratio") == {"c0": 0.3, "other": 0.2}
    assert of(series, "penstock_jitter_ratio") == {}


def test_the_worst_jitter_is_that_of_a_client_that_penstock_holds_back(
    make_control: MakeControl, clients: FakeClients
) -> None:
    """Who asks for little, or reads slowly, is uneven for a reason of its own."""
    control = make_control("[telemetry]\ntop_clients = 1")
    for i, (jitter, cause) in enumerate(
        [(0.9, "none"), (0.8, "peer"), (0.2, "group"), (0.3, "client"), (None, "disk")]
    ):
        name = f"c{i}"
        clients.rows[name] = FakeRow(name, jitter_ratio=jitter, limited_by=cause)
    assert of(scrape(control), "penstock_jitter_ratio") == {"": 0.3}


def test_whose_breaker_is_not_closed_is_named_with_its_state(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[telemetry]\ntop_clients = 2")

    def states(**changes: tuple[str, str]) -> dict[tuple[str, str], float]:
        """After a control pass; of each client what is told and what it is then."""
        for name, (change, state) in changes.items():
            clients.unread.append(FakeChange(name, "breaker", change))
            clients.rows[name] = FakeRow(name, breaker=state)
        control.sharing.pass_once()
        return by_cause(scrape(control), "penstock_client_breaker_state")

    clients.unread.append(FakeChange("z", "controller", "loss"))
    assert states() == {}
    assert states(b=("degraded", "degraded"), a=("frozen", "frozen")) == {
        ("a", "frozen"): 1,
        ("b", "degraded"): 1,
    }
    assert states(
        b=("half_open", "half_open"), c=("degraded",) * 2, d=("degraded",) * 2
    ) == {("a", "frozen"): 1, ("b", "half_open"): 1, ("other", "degraded"): 2}
    clients.rows["a"] = FakeRow("a")  # by a mode that has no breaker
    del clients.rows["d"]
    assert states(b=("closed", "closed")) == {("c", "degraded"): 1}


async def test_while_clients_are_written_others_have_their_turn(
    make_control: MakeControl, clients: FakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = make_control("[telemetry]\ntop_clients = 10000")
    clients.rows = {f"c{i}": FakeRow(f"c{i}") for i in range(5 * ROWS_AT_ONCE)}
    monkeypatch.setattr("penstock.telemetry.SLICE_S", 0)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        await collect(control, CollectorRegistry(), open_metrics=False)
        nursery.cancel_scope.cancel()
    assert turns > 5 * len(CLIENT_FAMILIES)
