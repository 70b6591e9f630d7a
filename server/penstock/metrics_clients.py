"""Metrics of the clients: the top ones by name, all others as one.

The label ``client_id`` has at most ``telemetry.top_clients`` + 1 values, whatever
clients do. A client that leaves the top moves into ``other``: sums over all values stay
true, the single series may step down, which Prometheus reads as a counter reset.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.allowances import UNLIMITED
from penstock.clientids import OTHER_CLIENTS
from penstock.control import Control

if TYPE_CHECKING:
    from penstock._engine import ClientRow


class ClientCollector(Collector):
    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        rows = self._control.clients.snapshot()
        groups = _groups(rows, self._control.settings.telemetry.top_clients)
        limit = GaugeMetricFamily(
            "download_bandwidth_bytes_per_second",
            "Configured limit; +Inf is no limit; other: the sum of theirs",
            labels=["client_id"],
        )
        sent = _counter("sent_bytes", "Bytes sent")
        mean = _gauge(
            "mean_bytes_per_second", "Bytes sent, mean of ten complete seconds"
        )
        requests = _counter("requests", "Requests received")
        transfers = _gauge("transfers", "Transfers that exist now")
        parked = _gauge("parked", "Transfers that wait for tokens now")
        for name, members in groups:
            limit.add_metric([name], sum(_limit(row) for row in members))
            sent.add_metric([name], sum(row.bytes_total for row in members))
            mean.add_metric([name], sum(row.mean_bps for row in members))
            requests.add_metric([name], sum(row.requests_total for row in members))
            transfers.add_metric([name], sum(row.transfers for row in members))
            parked.add_metric([name], sum(row.parked for row in members))
        yield from (limit, sent, mean, requests, transfers, parked)


def _counter(name: str, documentation: str) -> CounterMetricFamily:
    return CounterMetricFamily(
        f"penstock_client_{name}_total", documentation, labels=["client_id"]
    )


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        f"penstock_client_{name}", documentation, labels=["client_id"]
    )


def _limit(row: "ClientRow") -> float:
    return math.inf if row.target_bps == UNLIMITED else row.target_bps


def _rank(row: "ClientRow") -> tuple[int, bool, str]:
    """By bytes; among equals, those with a limit of their own."""
    return (row.bytes_total, row.source != "default", row.client_id)


def _groups(
    rows: "Sequence[ClientRow]", top: int
) -> "list[tuple[str, Sequence[ClientRow]]]":
    """Label value and rows; a client that is named like the rest belongs to it."""
    named = [row for row in rows if row.client_id != OTHER_CLIENTS]
    best = heapq.nlargest(top, named, key=_rank)
    shown = {row.client_id for row in best}
    rest = [row for row in rows if row.client_id not in shown]
    groups: list[tuple[str, Sequence[ClientRow]]] = [(r.client_id, [r]) for r in best]
    return [*groups, (OTHER_CLIENTS, rest)] if rest else groups
