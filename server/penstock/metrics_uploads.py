"""Metrics of uploads: what came of their requests. The bytes are the engines'."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class UploadCollector(Collector):
    """
    Args:
        answered: by protocol, method and status.
    """

    def __init__(self, answered: Counter[tuple[str, str, int]]) -> None:
        self._answered = answered

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "penstock_upload_requests_total",
            "Requests of uploads by protocol, method and status",
            labels=["protocol", "method", "code"],
        )
        for (protocol, method, status), count in sorted(self._answered.items()):
            family.add_metric([protocol, method, str(status)], count)
        yield family
