"""Prometheus and Alertmanager as processes of a test, beside a server."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from perf.servers.base import free_port

READY_S = 20.0


@contextlib.contextmanager
def daemon(folder: Path, port: int, name: str, *options: str) -> Iterator[None]:
    """``name`` with ``options`` until the block ends, on ``port``; skips without it."""
    program = shutil.which(f"prometheus-{name}") or shutil.which(name)  # Debian's name
    if program is None:
        pytest.skip(f"{name} is not installed")
    log = folder / f"{name}.log"
    address = f"--web.listen-address=127.0.0.1:{port}"
    with log.open("w") as out:
        process = subprocess.Popen([program, address, *options], stdout=out, stderr=out)
    try:
        wait_ready(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError):
            url = f"http://127.0.0.1:{port}/-/ready"
            with urllib.request.urlopen(url, timeout=1):
                return
        time.sleep(0.05)
    raise AssertionError(f"not ready within {READY_S} s:\n{log.read_text()}")


@contextlib.contextmanager
def alertmanager(shipped: Path, folder: Path, admin: str) -> Iterator[int]:
    """With the configuration that is shipped, but for where penstock is, and that an
    end is told within a second; yields its port."""
    config = yaml.safe_load(shipped.read_text())
    route = next(r for r in config["route"]["routes"] if r["receiver"] == "penstock")
    route["group_interval"] = "1s"
    receiver = next(r for r in config["receivers"] if r["name"] == "penstock")
    receiver["webhook_configs"][0]["url"] = f"{admin}/alertmanager"
    file, port = folder / "alertmanager.yml", free_port()
    file.write_text(yaml.safe_dump(config))
    with daemon(
        folder,
        port,
        "alertmanager",
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        "--cluster.listen-address=",
    ):
        yield port


@contextlib.contextmanager
def prometheus(folder: Path, admin: str, alerts_to: int, rule: str) -> Iterator[None]:
    """Looks at ``admin`` twice a second, and tells ``alerts_to``, a port, of ``rule``,
    an alert."""
    rules, file = folder / "rules.yml", folder / "prometheus.yml"
    rules.write_text(
        yaml.safe_dump({"groups": [{"name": "g", "rules": [rule_of(rule)]}]})
    )
    often = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    config = {
        "global": {**often, "evaluation_interval": "500ms"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "penstock",
                "static_configs": at(admin.removeprefix("http://")),
            }
        ],
        "alerting": {
            "alertmanagers": [{"static_configs": at(f"127.0.0.1:{alerts_to}")}]
        },
    }
    file.write_text(yaml.safe_dump(config))
    with daemon(
        folder,
        free_port(),
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        "--rules.alert.resend-delay=2s",
    ):
        yield


def rule_of(expression: str) -> dict[str, object]:
    labels = {"severity": "warning"}
    return {"alert": "UplinkSaturated", "expr": expression, "labels": labels}


def at(target: str) -> list[dict[str, list[str]]]:
    return [{"targets": [target]}]
