"""Metrics of the controllers: how many clients are in which state, and what changed."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.control import Control


class FeedbackCollector(Collector):
    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        counts = self._control.steered.counts
        states = GaugeMetricFamily(
            "penstock_breaker_clients",
            "Followed clients whose breaker is in this state",
            labels=["state"],
        )
        for state, n in self._control.clients.breaker_states().items():
            states.add_metric([state], n)
        yield states
        yield GaugeMetricFamily(
            "penstock_followed_clients",
            "Clients that controllers follow now",
            value=self._control.clients.followed,
        )
        yield CounterMetricFamily(
            "penstock_breaker_trips_total",
            "Times that a breaker tripped, freezes included",
            value=counts["breaker", "degraded"] + counts["breaker", "frozen"],
        )
        yield CounterMetricFamily(
            "penstock_breaker_freezes_total",
            "Times that a breaker tripped too often and was frozen",
            value=counts["breaker", "frozen"],
        )
        changes = CounterMetricFamily(
            "penstock_feedback_changes_total",
            "What controllers changed",
            labels=["kind", "change"],
        )
        for (kind, change), count in counts.items():
            changes.add_metric([kind, change], count)
        yield changes
        yield CounterMetricFamily(
            "penstock_feedback_changes_lost_total",
            "Changes that were made and not told: too many in one pass",
            value=self._control.clients.feedback_changes_lost,
        )
