"""The dashboard asks for series that a real server exposes."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

# Words of PromQL and of its labels that look like names.
_NAME = re.compile(r"\b(?:penstock|download)_[a-z_]+")


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    file = root / "deploy" / "grafana" / "dashboards" / "penstock.json"
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in /metrics of a server that has answered one request."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "file").write_text("x")
    words = ["serve", str(folder), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-m", "penstock", *words, "--cpus", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            files, admin = re.findall(r"http://\S+", server.stdout.readline())
            with urllib.request.urlopen(f"{files.rstrip(',')}/file") as response:
                assert response.read() == b"x"
            with urllib.request.urlopen(f"{admin}/metrics") as response:
                text = response.read().decode()
        finally:
            server.send_signal(signal.SIGTERM)
    return set(re.findall(r"^([a-z_]+)(?:\{| )", text, re.MULTILINE))


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]


def test_every_series_of_the_dashboard_is_exposed(
    dashboard: dict[str, Any], exposed: set[str]
) -> None:
    asked = {n for expr in expressions(dashboard) for n in _NAME.findall(expr)}
    assert len(asked) > 15
    assert asked - exposed == set()


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
    root: Path, dashboard: dict[str, Any]
) -> None:
    folder = root / "deploy" / "grafana" / "provisioning" / "datasources"
    source = yaml.safe_load((folder / "prometheus.yml").read_text())["datasources"][0]
    cells = []
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == source["uid"]
        at = panel["gridPos"]
        cells += [
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        assert at["x"] + at["w"] <= 24
    assert len(cells) == len(set(cells))
