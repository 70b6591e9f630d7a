"""Schedules and quotas of a real server, also over restarts and kills."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.http.test_shaping import Download, near
from tests.serving import Server

MB = 10**6
BIG_BYTES = 10 * 1024 * 1024 + 17
SLOW_BPS = 400_000
# After a restart, a client is slowed as soon as it has been seen.
SEEN_WITHIN_S = 1.0
SAVED_WITHIN_S = 15.0  # usage is saved every ten seconds
QUOTA = """
[server]
state_dir = "state"
[quotas.monthly]
applies_to = ["default"]
per = "month"
bytes = "4MB"
stages = [{ at = 1.0, rate = "400kB/s" }]
"""
ALWAYS = '[[schedules]]\napplies_to = ["{target}"]\nrate = "{rate}"\n'

StartQuota = Callable[[], Server]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "quotas.json"


@pytest.fixture
def start_with_quota(
    start: Callable[..., Server], config: Callable[[str], str]
) -> StartQuota:
    return lambda: start("--config", config(QUOTA))


def slowed(server: Server) -> bool:
    with urllib.request.urlopen(server.admin + "/metrics", timeout=10) as answer:
        return b'penstock_quota_slowed{quota="monthly"} 1.0' in answer.read()


def saved_bytes(state: Path) -> int:
    used = json.loads(state.read_text())["quotas"]["monthly"]["used_bytes"]
    return int(used.get("client:127.0.0.1", 0))


def use_up(server: Server) -> None:
    assert len(server.get("/big").body) == BIG_BYTES
    server.wait("the quota", lambda: slowed(server))


def is_slow(server: Server) -> bool:
    assert server.get("/hello.txt").status == 200
    time.sleep(SEEN_WITHIN_S)
    with Download(server, 2) as download:
        download.read(0.5)
        # What the bucket holds leaves at 1.12 times the rate.
        return near(download.read(3), SLOW_BPS, 0.15)


@pytest.mark.alone
def test_who_used_its_volume_is_slowed_and_stays_so_after_a_restart(
    start_with_quota: StartQuota, state: Path
) -> None:
    first = start_with_quota()
    use_up(first)
    assert is_slow(first)
    assert first.stop() == 0
    first.extra["may_exit"] = True
    used = saved_bytes(state)
    assert used > BIG_BYTES
    second = start_with_quota()
    assert slowed(second)
    assert is_slow(second)
    second.extra["may_exit"] = True
    assert second.stop() == 0
    assert saved_bytes(state) > used


@pytest.mark.slow
@pytest.mark.alone
def test_a_kill_loses_no_usage_that_is_older_than_the_last_save(
    start_with_quota: StartQuota, state: Path
) -> None:
    first = start_with_quota()
    use_up(first)
    first.wait("a save", lambda: saved_bytes(state) > BIG_BYTES, SAVED_WITHIN_S)
    first.extra["may_exit"] = True
    first.process.kill()
    assert first.process.wait(10) == -signal.SIGKILL
    second = start_with_quota()
    assert slowed(second)
    assert is_slow(second)


def test_a_corrupt_state_file_does_not_keep_the_server_from_starting(
    start_with_quota: StartQuota, state: Path
) -> None:
    state.parent.mkdir()
    state.write_bytes(b'{"version":1,"quotas":{"monthly":{"sta')
    server = start_with_quota()
    assert server.get("/hello.txt").status == 200
    log = server.log.read_text()
    assert "quotas.json can not be understood (Unterminated string" in log
    assert state.with_name("quotas.json.corrupt").read_bytes().endswith(b'{"sta')


def test_a_folder_that_another_server_uses_is_refused_with_the_remedy(
    start_with_quota: StartQuota,
) -> None:
    start_with_quota()
    with pytest.raises(AssertionError, match="another server uses it: give each its"):
        start_with_quota()


@pytest.mark.alone
@pytest.mark.parametrize("target", ["server", "default", "client:127.0.0.1"])
def test_a_schedule_caps_what_it_names_while_it_holds(
    start: Callable[..., Server],
    config: Callable[[str], str],
    target: str,
) -> None:
    named = '[clients."127.0.0.1"]\n' if target.startswith("client") else ""
    file = config(named + ALWAYS.format(target=target, rate="1MB/s"))
    server = start("--config", file)
    with Download(server, 3) as download:
        download.read(0.5)
        assert near(download.read(2), MB, 0.15)
        before = server.status()["config_version"]
        config(named + ALWAYS.format(target=target, rate="4MB/s"))
        server.process.send_signal(signal.SIGHUP)
        server.wait("the reload", lambda: server.status()["config_version"] > before)
        download.read(0.5)
        assert near(download.read(2), 4 * MB, 0.15)
        config(named)
        server.process.send_signal(signal.SIGHUP)
        server.wait(
            "the reload", lambda: server.status()["config_version"] > before + 1
        )
        assert download.read(0.5) > 20 * MB
