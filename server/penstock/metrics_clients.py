"""Metrics of the clients: the top ones by name, all others as one.

The label ``client_id`` has at most ``telemetry.top_clients`` + 1 values, whatever
clients do. A client that leaves the top moves into ``other``: sums over all values stay
true, the single series may step down, which Prometheus reads as a counter reset.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.allowances import UNLIMITED
from penstock.clientids import OTHER_CLIENTS
from penstock.control import Control

if TYPE_CHECKING:
    from penstock._engine import ClientRow

    Labelled = list[tuple[str, Sequence[ClientRow]]]  # label value and rows
Family = CounterMetricFamily | GaugeMetricFamily

# Whose pace is their own: they ask for no more, or their readers take no more.
_OWN_PACE = {"none", "peer"}


class ClientCollector(Collector):
    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        rows = self._control.clients.snapshot()
        labelled = _labelled(rows, self._control.settings.telemetry.top_clients)
        for family, value in _families():
            for name, members in labelled:
                family.add_metric([name], sum(value(row) for row in members))
            yield family
        yield _limited_by(labelled)
        yield _jitter(labelled)
        yield _worst_jitter(rows)


def _families() -> "list[tuple[Family, Callable[[ClientRow], float]]]":
    """Each with its value for one client; `other` is the sum of theirs."""
    limit = GaugeMetricFamily(
        "download_bandwidth_bytes_per_second",
        "Configured limit; +Inf is no limit; other: the sum of theirs",
        labels=["client_id"],
    )
    effective = _gauge(
        "effective_bytes_per_second", "Limit that holds now; +Inf is no limit"
    )
    weight = _gauge("weight", "Share of what is left, beside its siblings")
    sent = _counter("sent_bytes", "Bytes sent")
    mean = _gauge("mean_bytes_per_second", "Bytes sent, mean of ten complete seconds")
    requests = _counter("requests", "Requests received")
    transfers = _gauge("transfers", "Transfers that exist now")
    parked = _gauge("parked", "Transfers that wait for tokens now")
    return [
        (limit, lambda row: bps(row.target_bps)),
        (effective, lambda row: bps(row.effective_bps)),
        (weight, lambda row: row.weight),
        (sent, lambda row: row.bytes_total),
        (mean, lambda row: row.mean_bps),
        (requests, lambda row: row.requests_total),
        (transfers, lambda row: row.transfers),
        (parked, lambda row: row.parked),
    ]


def _counter(name: str, documentation: str) -> CounterMetricFamily:
    return CounterMetricFamily(
        f"penstock_client_{name}_total", documentation, labels=["client_id"]
    )


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        f"penstock_client_{name}", documentation, labels=["client_id"]
    )


def _limited_by(labelled: "Labelled") -> GaugeMetricFamily:
    """Only the causes that there are: each client but `other` has one series."""
    family = GaugeMetricFamily(
        "penstock_client_limited_by",
        "Clients that this keeps from more now",
        labels=["client_id", "limited_by"],
    )
    for name, members in labelled:
        for cause, count in Counter(row.limited_by for row in members).items():
            family.add_metric([name, cause], count)
    return family


def _jitter(labelled: "Labelled") -> GaugeMetricFamily:
    """No series for who has none; that of `other` is the worst of theirs."""
    family = _gauge(
        "jitter_ratio", "Standard deviation by mean of eight steady seconds"
    )
    for name, members in labelled:
        known = [r.jitter_ratio for r in members if r.jitter_ratio is not None]
        if known:
            family.add_metric([name], max(known))
    return family


def _worst_jitter(rows: "Sequence[ClientRow]") -> GaugeMetricFamily:
    """Over every row, named or not; no sample where no client counts."""
    family = GaugeMetricFamily(
        "penstock_jitter_ratio",
        "Worst jitter of the clients that are held back by penstock",
        labels=[],
    )
    held = [
        row.jitter_ratio
        for row in rows
        if row.jitter_ratio is not None and row.limited_by not in _OWN_PACE
    ]
    if held:
        family.add_metric([], max(held))
    return family


def bps(value: int) -> float:
    """Bytes per second, as Prometheus shows that there is no limit."""
    return math.inf if value == UNLIMITED else value


def _rank(row: "ClientRow") -> tuple[int, bool, str]:
    """By bytes; among equals, those with a limit of their own."""
    return (row.bytes_total, row.source != "default", row.client_id)


def _labelled(rows: "Sequence[ClientRow]", top: int) -> "Labelled":
    """A client that is named like the rest belongs to it."""
    named = [row for row in rows if row.client_id != OTHER_CLIENTS]
    best = heapq.nlargest(top, named, key=_rank)
    shown = {row.client_id for row in best}
    rest = [row for row in rows if row.client_id not in shown]
    labelled: Labelled = [(row.client_id, [row]) for row in best]
    return [*labelled, (OTHER_CLIENTS, rest)] if rest else labelled
