"""Metrics of the control plane: build, configuration, client table."""

import platform
from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from penstock import __version__
from penstock.control import Control, State
from penstock.sharing import Sharing


def _sharing(sharing: Sharing) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "penstock_share_passes_total",
        "Control passes that divided what the server and its groups have",
        value=sharing.passes,
    )
    yield CounterMetricFamily(
        "penstock_share_seconds_total", "Time in them", value=sharing.busy_ns / 1e9
    )
    yield GaugeMetricFamily(
        "penstock_share_late_seconds",
        "How much later than due the latest began",
        value=sharing.late_ns / 1e9,
    )
    yield GaugeMetricFamily(
        "penstock_clients_active",
        "Clients that were active before the latest control pass",
        value=sharing.active,
    )
    yield GaugeMetricFamily(
        "penstock_clients_backlogged",
        "Of them: those who wanted more than they got",
        value=sharing.backlogged,
    )


class ControlCollector(Collector):
    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        control = self._control
        clients = control.clients
        build = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("penstock_build", "What is running", value=build)
        for name, documentation, value in (
            ("ready", "1 while downloads are served", control.state is State.SERVING),
            ("config_version", "Grows by one with every change", control.version),
            ("client_rows", "Rows of the client table in use", clients.rows_used),
            ("client_rows_limit", "Rows of the client table", clients.row_limit),
        ):
            yield GaugeMetricFamily(f"penstock_{name}", documentation, value=int(value))
        yield from _sharing(control.sharing)
        yield CounterMetricFamily(
            "penstock_client_table_overflow_total",
            "Clients that found the client table full",
            value=clients.overflow_total,
        )
        yield CounterMetricFamily(
            "penstock_client_rows_recycled_total",
            "Rows that an idle client lost to a new one, because the table was full",
            value=clients.recycled_total,
        )
        reloads = CounterMetricFamily(
            "penstock_config_reloads_total", "Reloads by result", labels=["result"]
        )
        reloads.add_metric(["ok"], control.reloads_ok)
        reloads.add_metric(["refused"], control.reloads_refused)
        yield reloads
        yield CounterMetricFamily(
            "penstock_admin_errors_total",
            "Requests of the admin API that failed by a bug, which the log has",
            value=control.admin_errors,
        )
