"""How even a limited download is, as the admin API and the metrics say."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable

import pytest

from tests.http.test_shaping import Download
from tests.serving import Server

US = "127.0.0.1"
OBJECTIVE = 0.12
SAMPLE = re.compile(
    r"^penstock_(?:client_)?jitter_ratio(?:\{.*\})? (\S+)$", re.MULTILINE
)


def shown(server: Server) -> list[float]:
    with urllib.request.urlopen(f"{server.admin}/metrics", timeout=10) as answer:
        return [float(value) for value in SAMPLE.findall(answer.read().decode())]


@pytest.mark.slow
@pytest.mark.alone
def test_a_limited_client_stays_within_the_objective(
    start: Callable[..., Server],
) -> None:
    server = start("--client-rate", "500kB/s")
    with Download(server, 2) as download:
        download.read(6)
        assert server.ask(f"/clients/{US}")["jitter_ratio"] is None, "not yet known"
        assert shown(server) == []
        download.read(6)
        jitter = server.ask(f"/clients/{US}")["jitter_ratio"]
        assert 0 <= jitter <= OBJECTIVE
        worst, of_client = sorted(shown(server))
        assert 0 <= worst == of_client <= OBJECTIVE
