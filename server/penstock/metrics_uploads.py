"""Metrics of uploads: what came of their requests. The bytes are the engines'."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_NOW = ("idle", "active", "paused")


class UploadCollector(Collector):
    """
    Args:
        answered: by protocol, method and status.
        attempts: requests that bring bytes, by state.
    """

    def __init__(
        self, answered: Counter[tuple[str, str, int]], attempts: Counter[str]
    ) -> None:
        self._answered = answered
        self._attempts = attempts

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "penstock_upload_requests_total",
            "Requests of uploads by protocol, method and status",
            labels=["protocol", "method", "code"],
        )
        for (protocol, method, status), count in sorted(self._answered.items()):
            family.add_metric([protocol, method, str(status)], count)
        yield family
        attempts = GaugeMetricFamily(
            "penstock_upload_attempts",
            "Requests that bring bytes: waiting for an older one, receiving, or held "
            "back by a limit or the disk",
            labels=["state"],
        )
        for state in _NOW:
            attempts.add_metric([state], self._attempts[state])
        yield attempts
