"""Metrics of the groups.

The label ``group`` has as many values as there are groups: only the configuration and
the admin API make them, and at most the engine's ``MAX_GROUPS``.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.control import Control
from penstock.metrics_clients import bps


class GroupCollector(Collector):
    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        limit = _gauge("limit_bytes_per_second", "Configured limit; +Inf is no limit")
        effective = _gauge(
            "effective_bytes_per_second", "Limit that holds now; +Inf is no limit"
        )
        guaranteed = _gauge("guaranteed_bytes_per_second", "Configured minimum")
        weight = _gauge("weight", "Share of what is left, beside its siblings")
        sent = CounterMetricFamily(
            "penstock_group_sent_bytes_total", "Bytes sent", labels=["group"]
        )
        mean = _gauge(
            "mean_bytes_per_second", "Bytes sent, mean of ten complete seconds"
        )
        active = _gauge("active_clients", "Members that were active lately")
        backlogged = _gauge("backlogged_clients", "Of them: those who wanted more")
        limited_by = GaugeMetricFamily(
            "penstock_group_limited_by",
            "1 for what keeps it from more now",
            labels=["group", "limited_by"],
        )
        for row in self._control.clients.groups():
            labels = [row.name]
            limit.add_metric(labels, bps(row.rate_bps))
            effective.add_metric(labels, bps(row.effective_bps))
            guaranteed.add_metric(labels, row.min_bps)
            weight.add_metric(labels, row.weight)
            sent.add_metric(labels, row.bytes_total)
            mean.add_metric(labels, row.mean_bps)
            active.add_metric(labels, row.active)
            backlogged.add_metric(labels, row.backlogged)
            limited_by.add_metric([row.name, row.limited_by], 1)
        yield from (limit, effective, guaranteed, weight, sent, mean)
        yield from (active, backlogged, limited_by)


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"penstock_group_{name}", documentation, labels=["group"])
