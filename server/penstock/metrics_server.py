"""Metrics of the server as a whole: all clients together."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.control import Control
from penstock.metrics_clients import bps


class ServerCollector(Collector):
    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        row = self._control.clients.server()
        yield GaugeMetricFamily(
            "penstock_total_limit_bytes_per_second",
            "Configured limit of all clients together; +Inf is no limit",
            value=bps(row.rate_bps),
        )
        yield GaugeMetricFamily(
            "penstock_total_effective_bytes_per_second",
            "Limit of all clients together that holds now; +Inf is no limit",
            value=bps(row.effective_bps),
        )
        yield GaugeMetricFamily(
            "penstock_total_mean_bytes_per_second",
            "Bytes sent to all clients, mean of ten complete seconds",
            value=row.mean_bps,
        )
        limited_by = GaugeMetricFamily(
            "penstock_total_limited_by",
            "1 for what keeps all clients together from more now",
            labels=["limited_by"],
        )
        limited_by.add_metric([row.limited_by], 1)
        yield limited_by
