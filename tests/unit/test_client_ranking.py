"""What the engine writes of its clients is what prometheus-client would write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import (
    generate_latest as generate_openmetrics,
)
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from penstock._engine import CLIENT_METRICS, ClientRow, ClientTable
from penstock.allowances import Allowance
from penstock.clientids import OTHER_CLIENTS
from penstock.metrics_clients import (
    CLIENT_FAMILIES,
    JITTER,
    JITTER_HELP,
    LIMITED_BY,
    LIMITED_BY_HELP,
    WORST_JITTER,
    WORST_JITTER_HELP,
    render_clients,
)
from tests.control.fakeranking import METRICS, number, ranked, summed

MB = 10**6
TOP = 3


class Known(NamedTuple):
    """A client and what it was sent."""

    name: str
    rate_bps: int
    sent_bytes: int
    is_default: bool


names = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
        lambda name: name.isprintable() and name != OTHER_CLIENTS
    ),
    st.ip_addresses().map(str),
)
clients = st.lists(
    st.builds(
        Known,
        names,
        st.integers(1, 10**12),
        st.integers(0, 1 << 20),
        st.booleans(),
    ),
    unique_by=lambda known: known.name,
    max_size=7,
)


def table_of(known: Sequence[Known]) -> ClientTable:
    table = ClientTable(rows=64)
    for name, rate_bps, sent_bytes, is_default in known:
        if not is_default:
            table.set_client(name, Allowance(rate_bps), None, "api")
        held = table.hold(name)
        held.settle(sent_bytes)
        held.release()
    return table


class ByLibrary(Collector):
    """The metrics of clients, made as prometheus-client would have them."""

    def __init__(self, rows: Sequence[ClientRow], most: int) -> None:
        in_order = ranked(rows)
        self._best, self._rest = in_order[:most], in_order[most:]

    def collect(self) -> Iterator[Metric]:
        others = summed(self._rest)
        for name, kind, documentation, metric in CLIENT_FAMILIES:
            make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            family = make(name, documentation, labels=["client_id"])
            for row in self._best:
                family.add_metric([row.client_id], number(row, metric))
            if self._rest:
                family.add_metric([OTHER_CLIENTS], others.numbers[metric])
            yield family
        labels = ["client_id", "limited_by"]
        family = GaugeMetricFamily(LIMITED_BY, LIMITED_BY_HELP, labels=labels)
        for row in self._best:
            family.add_metric([row.client_id, row.limited_by], 1)
        for cause, count in others.limited_by.items():
            family.add_metric([OTHER_CLIENTS, cause], count)
        yield family
        family = GaugeMetricFamily(JITTER, JITTER_HELP, labels=["client_id"])
        for row in self._best:
            if row.jitter_ratio is not None:
                family.add_metric([row.client_id], row.jitter_ratio)
        if others.jitter is not None:
            family.add_metric([OTHER_CLIENTS], others.jitter)
        yield family
        # Of nothing that was just made, ten seconds are known.
        yield GaugeMetricFamily(WORST_JITTER, WORST_JITTER_HELP, labels=[])


def numbers(rows: Sequence[ClientRow]) -> list[tuple[object, ...]]:
    """All that is told of them; the fill of their buckets is not."""
    return [
        (row.client_id, row.source, row.limited_by)
        + tuple(number(row, metric) for metric in METRICS)
        for row in rows
    ]


def rendered(table: ClientTable, *, open_metrics: bool) -> str:
    ranking = table.ranking(TOP)
    pieces = render_clients(ranking, open_metrics=open_metrics)
    return b"".join(pieces).decode() + ("# EOF\n" if open_metrics else "")


def test_the_fake_knows_the_metrics_of_the_engine() -> None:
    assert tuple(METRICS) == CLIENT_METRICS
    assert {family.metric for family in CLIENT_FAMILIES} == set(CLIENT_METRICS)


def test_a_row_has_as_many_fields_as_its_type() -> None:
    [row] = table_of([Known("a", MB, 5, False)]).snapshot()
    assert len(row) == len(ClientRow._fields)
    assert (row.client_id, row.rate_bps, row.bytes_total) == ("a", MB, 5)
    assert (row.weight, row.limited_by, row.source) == (100, "none", "api")


@pytest.mark.parametrize("open_metrics", [False, True])
@given(known=clients)
def test_metrics_of_clients_are_written_as_the_library_writes_them(
    open_metrics: bool, known: list[Known]
) -> None:
    table = table_of(known)
    rows, text = table.snapshot(), ""
    while not text or numbers(rows) != numbers(table.snapshot()):  # a second passed
        rows = table.snapshot()
        text = rendered(table, open_metrics=open_metrics)
    registry = CollectorRegistry()
    registry.register(ByLibrary(rows, TOP))
    if open_metrics:
        expected = generate_openmetrics(registry).decode()
        list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    else:
        expected = generate_latest(registry).decode()
        list(parse_text(text))
    assert sorted(text.splitlines()) == sorted(expected.splitlines())
    assert heads(text) == heads(expected)


def heads(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


def series(table: ClientTable, most: int) -> dict[str, float]:
    ranking = table.ranking(most)
    while ranking.look(2):
        pass
    text = ranking.series("m", "bytes_total", 0, most).decode()
    lines = re.findall(r'^m\{client_id="(.*)"\} (.*)$', text, re.MULTILINE)
    assert len(lines) == len({name for name, _ in lines}) == text.count("\n")
    found = {name: float(value) for name, value in lines}
    assert sum(found.values()) == ranking.best().numbers["bytes_total"]
    return found


def test_who_was_sent_most_is_named_and_all_bytes_are_somewhere() -> None:
    table = table_of([Known(f"c{i}", MB, i, False) for i in range(50)])
    ranking = table.ranking(10)
    while ranking.look(7):
        pass
    text = ranking.series("m", "bytes_total", 0, 10).decode()
    assert set(text.splitlines()) == {
        f'm{{client_id="c{i}"}} {i}.0' for i in range(40, 50)
    }
    assert ranking.others().clients == 40
    assert ranking.others().numbers["bytes_total"] == sum(range(40))
    assert ranking.best().numbers["bytes_total"] == sum(range(40, 50))


def test_pieces_are_as_long_as_asked_for_and_make_the_whole() -> None:
    table = table_of([Known(f"c{i}", MB, i, False) for i in range(25)])
    ranking = table.ranking(25)
    while ranking.look(3):
        pass
    pieces = [ranking.series("m", "weight", first, 10) for first in range(0, 40, 10)]
    assert [piece.count(b"\n") for piece in pieces] == [10, 10, 5, 0]
    assert b"".join(pieces) == ranking.series("m", "weight", 0, 100)


def test_no_client_is_named_where_none_is_wanted() -> None:
    assert series(table_of([Known("a", MB, 5, False)]), 0) == {}


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        ClientTable(rows=1).ranking(1).series("m", "colour", 0, 1)


def test_a_client_that_changes_its_row_meanwhile_has_one_series() -> None:
    table = ClientTable(rows=4)
    for name in "abcd":
        table.hold(name).settle(1)
    ranking = table.ranking(4)
    assert ranking.look(1)
    # Of a full table, idle rows are given away in turn, until one that is still to be
    # looked at has the name of the one that was.
    for i in range(100):
        table.hold(f"new {i}").settle(1)
        table.hold("a").settle(1)
    while ranking.look(1):
        pass
    text = ranking.series("m", "weight", 0, 4).decode()
    assert text.count('"a"') == 1
    both = ranking.best(), ranking.others()
    assert sum(sums.clients for sums in both) == 4
    assert ranking.others().clients == 1
