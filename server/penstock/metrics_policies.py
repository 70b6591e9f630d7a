"""Metrics of the policies: as many series as the configuration has policies."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.timed_limits import TimedLimits


class PolicyCollector(Collector):
    def __init__(self, limits: TimedLimits) -> None:
        self._limits = limits

    def collect(self) -> Iterator[Metric]:
        enforcement = self._limits.enforcement
        active = GaugeMetricFamily(
            "penstock_policy_active",
            "1 while an alert makes it cap what it applies to",
            labels=["policy"],
        )
        for name in enforcement.policies:
            active.add_metric([name], int(enforcement.is_active(name)))
        yield active
        notifications = CounterMetricFamily(
            "penstock_alertmanager_notifications_total",
            "Notifications by what came of them",
            labels=["result"],
        )
        for result, count in enforcement.notified.items():
            notifications.add_metric([result], count)
        yield notifications
