"""Metrics of the volume quotas. By name only what the configuration names; of the
default class the number of clients that are slowed down."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.timed_limits import TimedLimits

_LABELS = ["quota", "applies_to"]


class QuotaCollector(Collector):
    def __init__(self, limits: TimedLimits) -> None:
        self._limits = limits

    def collect(self) -> Iterator[Metric]:
        ledger = self._limits.ledger
        used = GaugeMetricFamily(
            "penstock_quota_used_bytes", "Bytes used of a volume", labels=_LABELS
        )
        limit = GaugeMetricFamily(
            "penstock_quota_limit_bytes", "The volume", labels=_LABELS
        )
        stage = GaugeMetricFamily(
            "penstock_quota_stage", "Stage that was reached; 0: none", labels=_LABELS
        )
        for use in ledger.named_uses():
            labels = [use.quota, str(use.applies_to)]
            used.add_metric(labels, use.used_bytes)
            limit.add_metric(labels, use.volume_bytes)
            stage.add_metric(labels, use.stage)
        slowed = GaugeMetricFamily(
            "penstock_quota_slowed",
            "Clients, groups and servers that a quota slows down now",
            labels=["quota"],
        )
        for name in ledger.quotas:
            slowed.add_metric([name], ledger.slowed(name))
        yield from (used, limit, stage, slowed)
        yield CounterMetricFamily(
            "penstock_quota_accounts_dropped_total",
            "Clients whose usage was forgotten for lack of room",
            value=ledger.dropped_total,
        )
        yield CounterMetricFamily(
            "penstock_quota_saves_failed_total",
            "Times that usage could not be written to server.state_dir",
            value=self._limits.saves_failed_total,
        )
