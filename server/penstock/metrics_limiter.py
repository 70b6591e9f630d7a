"""Metrics of the rate contexts, through which Python pays for bytes."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.limiter import Limiter


class LimiterCollector(Collector):
    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "penstock_rate_contexts_open",
            "Rate contexts that exist now",
            value=self._limiter.open,
        )
        yield CounterMetricFamily(
            "penstock_rate_contexts_leaked_total",
            "Rate contexts that were dropped without being closed: a bug",
            value=self._limiter.leaked_total,
        )
