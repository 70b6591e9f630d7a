"""The circle: what is measured changes a limit, and the limit what is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.http.test_shaping import Download, digest, near
from tests.monitoring.stack import alertmanager, prometheus
from tests.serving import Server

MB = 10**6
TURN_S = 0.05
CIRCLE_S = 30.0  # far more than scrape, rule, alert and notification take
# What matters is running: bulk makes room for it.
RULE = f'rate(penstock_client_sent_bytes_total{{client_id="urgent"}}[2s]) > {MB}'
TEXT = f"""
[groups.batch]
rate = "4MB/s"
[clients.bulk]
group = "batch"
token_sha256 = ["{digest("bulk")}"]
[clients.urgent]
rate = "2MB/s"
token_sha256 = ["{digest("urgent")}"]
[policies.calm]
alert = "UplinkSaturated"
labels = {{ severity = "warning" }}
applies_to = ["group:batch"]
scale = 0.25
"""


def read(seconds: float, first: Download, *others: Download) -> float:
    """Bytes per second of the first, while all of them read in turn."""
    before, start = first.total, time.monotonic()
    while time.monotonic() < start + seconds:
        for download in (first, *others):
            download.read(TURN_S)
    return (first.total - before) / (time.monotonic() - start)


def read_until(what: str, check: Callable[[], bool], *downloads: Download) -> None:
    deadline = time.monotonic() + CIRCLE_S
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come within {CIRCLE_S} s"
        read(TURN_S, *downloads)


@pytest.mark.slow
@pytest.mark.alone
def test_bulk_makes_room_while_an_alert_fires_and_has_its_rate_again_afterwards(
    start: Callable[..., Server],
    config: Callable[[str], str],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    server = start("--config", config(TEXT))
    shipped = pytestconfig.rootpath / "deploy" / "alertmanager" / "alertmanager.yml"

    def held() -> bool:
        return bool(server.ask("/policies")["policies"])

    with (
        alertmanager(shipped, tmp_path, server.admin) as port,
        prometheus(tmp_path, server.admin, port, RULE),
        Download(server, 2, "bulk") as bulk,
    ):
        read(1, bulk)
        assert near(read(2, bulk), 4 * MB, 0.1)
        assert not held()
        with Download(server, 2, "urgent") as urgent:
            read_until("the limit", held, bulk, urgent)
            read(0.5, bulk, urgent)
            assert near(read(2, bulk, urgent), MB, 0.1)
            assert server.ask("/groups/batch")["limited_by"] == "policy"
            assert server.ask("/groups/batch")["rate_bps"] == 4 * MB
        read_until("the end of the limit", lambda: not held(), bulk)
        read(0.5, bulk)
        assert near(read(2, bulk), 4 * MB, 0.1)
