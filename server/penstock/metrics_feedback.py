"""Metrics of the controllers: how many clients are in which state, and what changed."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.clientids import OTHER_CLIENTS
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
        yield self._open_breakers()
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

    def _open_breakers(self) -> GaugeMetricFamily:
        """As many by name as other metrics of clients have."""
        named = self._control.settings.telemetry.top_clients
        found = list(self._control.sharing.breakers.states().items())
        family = GaugeMetricFamily(
            "penstock_client_breaker_state",
            "Clients whose breaker is in this state, where it is not closed",
            labels=["client_id", "state"],
        )
        for client_id, state in found[:named]:
            family.add_metric([client_id, state], 1)
        for state, n in Counter(state for _, state in found[named:]).items():
            family.add_metric([OTHER_CLIENTS, state], n)
        return family
