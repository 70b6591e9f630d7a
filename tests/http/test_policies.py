"""Policies of a real server: a notification slows a download, another frees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.control.notifications import notification, said
from tests.http.test_shaping import Download, near
from tests.serving import Server

MB = 10**6
US = "127.0.0.1"
ROW = f"/clients/{US}"
TEXT = """
[shaping]
total_rate = "8MB/s"
client_rate = "6MB/s"
client_group = "g"
[groups.g]
rate = "7MB/s"
[clients."127.0.0.1"]
{client}
[policies.calm]
alert = "UplinkSaturated"
applies_to = ["{target}"]
{measure}
"""


def notify(server: Server, status: str) -> Any:
    return server.ask("/alertmanager", notification(said(status)))


@pytest.mark.alone
@pytest.mark.parametrize(
    ("target", "measure", "client", "capped_bps", "free_bps", "asked", "reason"),
    [
        ("server", "scale = 0.25", "", 2 * MB, 6 * MB, ROW, "server"),
        ("group:g", 'rate = "1MB/s"', "", MB, 6 * MB, "/groups/g", "policy"),
        ("default", "scale = 0.5", "", 3 * MB, 6 * MB, ROW, "policy"),
        (
            f"client:{US}",
            "scale = 0.5",
            'rate = "4MB/s"',
            2 * MB,
            4 * MB,
            ROW,
            "policy",
        ),
    ],
)
def test_a_download_is_slow_while_an_alert_fires_and_says_why(
    start: Callable[..., Server],
    config: Callable[[str], str],
    target: str,
    measure: str,
    client: str,
    capped_bps: int,
    free_bps: int,
    asked: str,
    reason: str,
) -> None:
    text = TEXT.format(target=target, measure=measure, client=client)
    server = start("--config", config(text))
    with Download(server, 3) as download:
        download.read(0.5)
        assert near(download.read(1.5), free_bps, 0.15)
        assert notify(server, "firing")["result"] == "changed"
        download.read(0.5)
        assert near(download.read(1.5), capped_bps, 0.15)
        server.wait("the reason", lambda: server.ask(asked)["limited_by"] == reason)
        [shown] = server.ask("/policies")["policies"]
        assert shown["caps"] == {target: capped_bps}
        assert notify(server, "resolved")["result"] == "changed"
        download.read(0.5)
        assert near(download.read(1.5), free_bps, 0.15)
