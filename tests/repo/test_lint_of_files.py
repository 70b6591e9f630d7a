"""Checks of files that are not code: YAML, Dockerfile, systemd unit, Prometheus."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_yaml_is_clean(root: Path) -> None:
    done = run(sys.executable, "-m", "yamllint", "--strict", ".", cwd=root)
    assert done.returncode == 0, done.stdout


def test_dockerfile_is_clean(root: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not in this environment")
    done = run(hadolint, "Dockerfile", cwd=root)
    assert done.returncode == 0, done.stdout


def test_prometheus_accepts_its_configuration(root: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    file = "deploy/prometheus/prometheus.yml"
    done = run(promtool, "check", "config", file, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_accepts_its_configuration(root: Path) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("amtool is not installed")
    file = "deploy/alertmanager/alertmanager.yml"
    done = run(amtool, "check-config", file, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_accepts_the_unit(root: Path, tmp_path: Path) -> None:
    """Its program is replaced by one that exists on every machine."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (root / "deploy" / "systemd" / "penstock.service").read_text()
    unit = tmp_path / "penstock.service"
    unit.write_text(text.replace("/opt/penstock/bin/penstock", "/bin/true"))
    done = run(analyze, "verify", "--man=no", str(unit), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_configuration_is_accepted(root: Path) -> None:
    words = ["-m", "penstock", "check-config", "deploy/penstock.toml"]
    done = run(sys.executable, *words, cwd=root)
    assert done.returncode == 0, done.stderr
