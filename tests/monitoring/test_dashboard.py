"""The dashboard asks for series that a real server exposes, or that rules record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.conftest import Promtool, asked_for

# What Grafana puts in before it asks.
_VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$client": ".*"}


@pytest.fixture(scope="module")
def dashboard(repository: Path) -> dict[str, Any]:
    file = repository / "deploy" / "grafana" / "dashboards" / "penstock.json"
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def shown(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Panels; a row is only a heading."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [t["expr"] for panel in shown(dashboard) for t in panel["targets"]]


def test_every_series_of_the_dashboard_is_exposed(
    dashboard: dict[str, Any], exposed: set[str]
) -> None:
    asked = {n for expr in expressions(dashboard) for n in asked_for(expr)}
    assert len(asked) > 30
    assert asked - exposed == set()


def test_every_recorded_series_of_the_dashboard_is_recorded(
    dashboard: dict[str, Any], rules: list[dict[str, Any]]
) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    asked = {
        n for e in expressions(dashboard) for n in re.findall(r"instance:[\w:]+", e)
    }
    assert asked
    assert asked <= recorded


def test_prometheus_understands_every_expression(
    dashboard: dict[str, Any], promtool: Promtool, tmp_path: Path
) -> None:
    """Each as a rule that records it, with Grafana's variables filled in."""
    rules = []
    for number, expr in enumerate(expressions(dashboard)):
        for variable, value in _VARIABLES.items():
            expr = expr.replace(variable, value)  # noqa: PLW2901
        assert "$" not in expr, expr
        rules.append({"record": f"panel:{number}", "expr": expr})
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "download_bandwidth_bytes_per_second",
        "download_latency_seconds_bucket",
        "download_conn_reuse_ratio",
    ],
)
def test_the_promised_series_are_exposed_and_shown(
    dashboard: dict[str, Any], exposed: set[str], name: str
) -> None:
    assert name in exposed
    assert any(name in expr for expr in expressions(dashboard))


def test_panels_use_the_provisioned_data_source_and_do_not_overlap(
    repository: Path, dashboard: dict[str, Any]
) -> None:
    folder = repository / "deploy" / "grafana" / "provisioning" / "datasources"
    source = yaml.safe_load((folder / "prometheus.yml").read_text())["datasources"][0]
    cells = []
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == source["uid"]
        at = panel["gridPos"]
        cells += [
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        assert at["x"] + at["w"] <= 24
    assert len(cells) == len(set(cells))
