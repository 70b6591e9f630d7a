"""Rules for Prometheus: each is right, about series that exist, and tried both ways."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.conftest import ROOT, Promtool, asked_for

FOLDER = ROOT / "deploy" / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def test_prometheus_accepts_the_rules(promtool: Promtool) -> None:
    files = [str(file) for file in (FOLDER / "rules").glob("*.yml")]
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_come_and_go_where_they_should(file: Path, promtool: Promtool) -> None:
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_on_both_sides(alerts: dict[str, dict[str, Any]]) -> None:
    tried: dict[str, set[bool]] = defaultdict(set)
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test.get("alert_rule_test", ()):
                tried[case["alertname"]].add(bool(case.get("exp_alerts")))
    assert dict(tried) == {name: {True, False} for name in alerts}


def test_rules_ask_for_series_that_there_are(
    rules: list[dict[str, Any]], exposed: set[str]
) -> None:
    asked = {name for rule in rules for name in asked_for(rule["expr"])}
    assert len(asked) > 8
    assert asked - exposed == set()


def test_rules_use_only_what_others_record(rules: list[dict[str, Any]]) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    used = {n for r in rules for n in re.findall(r"instance:[\w:]+", r["expr"])}
    assert used <= recorded


def test_rules_ask_for_the_job_that_prometheus_has(
    rules: list[dict[str, Any]],
) -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    asked = {j for r in rules for j in re.findall(r'\bjob="([^"]*)"', r["expr"])}
    assert asked == {job["job_name"] for job in scraped}


def test_every_alert_says_whom_it_is_for_and_what_to_do(
    alerts: dict[str, dict[str, Any]],
) -> None:
    for name, alert in alerts.items():
        assert alert["labels"]["severity"] in {"page", "ticket", "info"}, name
        assert set(alert["annotations"]) == {"summary", "description"}, name


def test_every_alert_is_explained(alerts: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    assert [name for name in alerts if f"`{name}`" not in text] == []
