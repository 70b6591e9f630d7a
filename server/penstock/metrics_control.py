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
        yield CounterMetricFamily(
            "penstock_client_table_overflow_total",
            "Clients that found the client table full",
            value=clients.overflow_total,
        )
        reloads = CounterMetricFamily(
            "penstock_config_reloads_total", "Reloads by result", labels=["result"]
        )
        reloads.add_metric(["ok"], control.reloads_ok)
        reloads.add_metric(["refused"], control.reloads_refused)
        yield reloads
