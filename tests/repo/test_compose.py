"""docker-compose.yml: right by its schema, and what it mounts is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ADMIN_PORT = "8080"


@pytest.fixture(scope="module")
def services(root: Path) -> dict[str, Any]:
    loaded = yaml.safe_load((root / "docker-compose.yml").read_text())
    found: dict[str, Any] = loaded["services"]
    return found


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    words = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run(
        [sys.executable, *words, str(file)], capture_output=True, text=True, timeout=60
    )


def test_compose_follows_the_compose_specification(root: Path) -> None:
    done = check_schema(root / "docker-compose.yml")
    assert done.returncode == 0, done.stdout


def test_the_schema_check_finds_a_misspelt_key(root: Path, tmp_path: Path) -> None:
    text = (root / "docker-compose.yml").read_text()
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(text.replace("security_opt:", "security_opts:"))
    assert check_schema(wrong).returncode == 1


def test_everything_that_is_mounted_from_the_repository_exists(
    root: Path, services: dict[str, Any]
) -> None:
    mounts = [v for s in services.values() for v in s.get("volumes", ())]
    sources = [m.split(":")[0] for m in mounts if m.startswith("./")]
    assert len(sources) >= 4
    assert [s for s in sources if not (root / s).exists()] == []


def test_everything_that_the_repository_mounts_is_read_only(
    services: dict[str, Any],
) -> None:
    mounts = [v for s in services.values() for v in s.get("volumes", ())]
    assert all(m.endswith(":ro") for m in mounts if m.startswith("./"))


def test_the_seccomp_profile_exists(root: Path, services: dict[str, Any]) -> None:
    [profile] = [
        option.removeprefix("seccomp:")
        for option in services["penstock"]["security_opt"]
        if option.startswith("seccomp:")
    ]
    assert (root / profile).is_file()


def test_the_admin_port_is_not_published(services: dict[str, Any]) -> None:
    ports = [port for s in services.values() for port in s.get("ports", ())]
    assert ports
    assert [p for p in ports if ADMIN_PORT in p] == []


def test_prometheus_reaches_the_admin_port_over_loopback(
    root: Path, services: dict[str, Any]
) -> None:
    file = root / "deploy" / "prometheus" / "prometheus.yml"
    config = yaml.safe_load(file.read_text())
    [job] = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{ADMIN_PORT}"]}]
    assert services["prometheus"]["network_mode"] == "service:penstock"


def test_prometheus_finds_its_rules_and_alertmanager(
    root: Path, services: dict[str, Any]
) -> None:
    """All paths in it are relative to the file, so they hold in the container, too."""
    file = root / "deploy" / "prometheus" / "prometheus.yml"
    config = yaml.safe_load(file.read_text())
    mounts = dict(v.split(":")[:2] for v in services["prometheus"]["volumes"])
    assert config["rule_files"] == ["rules/*.yml"]
    assert mounts["./deploy/prometheus/rules"] == "/etc/prometheus/rules"
    [to] = config["alerting"]["alertmanagers"]
    [[target]] = [s["targets"] for s in to["static_configs"]]
    assert services["alertmanager"]["network_mode"] == "service:penstock"
    assert f"{target}:{target.split(':')[1]}" in services["penstock"]["ports"]


def test_prometheus_keeps_what_the_documentation_looks_back_on(
    root: Path, services: dict[str, Any]
) -> None:
    text = (root / "docs" / "deployment.md").read_text()
    days = [int(window) for window in re.findall(r"\[(\d+)d\]", text)]
    flags = dict(word.split("=") for word in services["prometheus"]["command"])
    assert int(flags["--storage.tsdb.retention.time"].removesuffix("d")) > max(days)


def test_prometheus_reads_and_writes_what_is_mounted(services: dict[str, Any]) -> None:
    flags = dict(word.split("=") for word in services["prometheus"]["command"])
    mounts = [v.split(":")[1] for v in services["prometheus"]["volumes"]]
    assert flags["--config.file"] in mounts
    assert flags["--storage.tsdb.path"] in mounts


def test_files_copied_into_the_image_exist_and_are_not_ignored(root: Path) -> None:
    ignored = (root / ".dockerignore").read_text().splitlines()
    copies = [
        line.split()[1:-1]
        for line in (root / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
    ]
    names = [name for words in copies for name in words]
    assert "setup.py" in names
    for name in names:
        assert (root / name).exists(), name
        assert f"!{name}" in ignored or f"!{name}/" in ignored, name
