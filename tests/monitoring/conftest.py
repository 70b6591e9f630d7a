"""What Prometheus would see, and its own tool to judge what is asked of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving import running

ROOT = Path(__file__).parents[2]
# Names of our series, without what follows a colon in those that rules record.
_NAME = re.compile(r"(?<![\w:])(?:penstock|download)_\w+")
_FAMILY = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)

Promtool = Callable[..., subprocess.CompletedProcess[str]]


def asked_for(expression: str) -> set[str]:
    """Names of penstock's own series in PromQL."""
    return set(_NAME.findall(expression))


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def promtool(repository: Path) -> Promtool:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool (of Prometheus) is not installed")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words],
            cwd=repository,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


@pytest.fixture(scope="session")
def rules(repository: Path) -> list[dict[str, Any]]:
    """Every rule of deploy/prometheus/rules."""
    files = sorted((repository / "deploy" / "prometheus" / "rules").glob("*.yml"))
    groups = [g for file in files for g in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="session")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the series of a server that has answered one request, and of those that
    it declares and has no sample of."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "file").write_text("x")
    with running(folder, tmp_path_factory.mktemp("logs")) as server:
        assert server.get("/file").body == b"x"
        with urllib.request.urlopen(f"{server.admin}/metrics") as response:
            text = response.read().decode()
    found = set(re.findall(r"^([a-z_]+)(?:\{| )", text, re.MULTILINE))
    found |= {name for name, _ in _FAMILY.findall(text)}
    return found
