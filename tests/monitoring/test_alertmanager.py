"""The configuration of Alertmanager that is shipped fits penstock and its defaults."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.admin_guard import ALERTMANAGER_PATH
from penstock.durations import parse_duration
from penstock.policies import Policy
from penstock.settings import Settings


@pytest.fixture
def shipped(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath / "deploy" / "alertmanager" / "alertmanager.yml"


@pytest.fixture
def route(shipped: Path) -> dict[str, Any]:
    routes = yaml.safe_load(shipped.read_text())["route"]["routes"]
    found: dict[str, Any] = next(r for r in routes if r["receiver"] == "penstock")
    return found


def test_alertmanagers_own_tool_accepts_it(shipped: Path) -> None:
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed")
    done = subprocess.run(
        ["amtool", "check-config", str(shipped)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def test_it_sends_to_where_penstock_listens_by_default(shipped: Path) -> None:
    receivers = yaml.safe_load(shipped.read_text())["receivers"]
    [webhook] = next(r for r in receivers if r["name"] == "penstock")["webhook_configs"]
    listen = Settings.model_validate({}).admin.listen
    assert webhook["url"] == f"{listen.url}{ALERTMANAGER_PATH}"
    assert webhook["send_resolved"]


def test_an_alert_is_said_again_before_a_policy_expires(route: dict[str, Any]) -> None:
    expires_ns = Policy.model_fields["expires_ns"].default
    assert 2 * parse_duration(route["repeat_interval"]) <= expires_ns


def test_whoever_is_told_beside_penstock_still_is(route: dict[str, Any]) -> None:
    assert route["continue"] is True
