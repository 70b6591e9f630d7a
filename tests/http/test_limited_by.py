"""Why a client is slow: what the admin API and the downloader are told."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.http.test_shaping import Download
from tests.serving import Server, request

US = "127.0.0.1"


def why(server: Server) -> str:
    return str(server.ask(f"/clients/{US}")["limited_by"])


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ('[shaping]\nclient_rate = "500kB/s"\n', "client"),
        ('[shaping]\ntotal_rate = "500kB/s"\n', "server"),
        ('[shaping]\nclient_group = "g"\n[groups.g]\nrate = "500kB/s"\n', "group"),
        (
            '[shaping]\ntotal_rate = "500kB/s"\nclient_group = "g"\n'
            '[groups.g]\nrate = "50MB/s"\n',
            "server",
        ),
    ],
)
def test_whose_tokens_a_client_waits_for_is_said_of_it_and_of_its_transfers(
    start: Callable[..., Server],
    config: Callable[[str], str],
    limits: str,
    reason: str,
) -> None:
    server = start("--config", config(limits))
    assert server.get("/hello.txt").status == 200
    assert why(server) == "none", "nothing runs"
    with Download(server, 2) as download:
        download.read(0.5)
        server.wait("the reason", lambda: why(server) == reason)
        sending = server.ask(f"/clients/{US}")["sending"]
        assert len(sending) == 2
        assert {t["limited_by"] for t in sending} <= {reason, "none"}
        assert all(0 < t["moved_bytes"] < t["total_bytes"] for t in sending)


def test_a_reader_that_stops_is_the_reason_itself(server: Server) -> None:
    with server.client() as client:
        client.send(request("/big"))
        server.wait("the reason", lambda: why(server) == "peer")
        (transfer,) = server.ask(f"/clients/{US}")["sending"]
        assert transfer["limited_by"] == "peer"
        client.reset()


def test_a_group_says_whether_it_is_its_own_limit_or_the_servers(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    text = '[shaping]\nclient_group = "g"\n[groups.g]\nrate = "1MB/s"\n'
    server = start("--config", config(text))

    def group() -> Any:
        return server.ask("/groups/g")

    assert group()["limited_by"] == "none"
    with Download(server, 2) as download:
        download.read(0.5)
        server.wait("the reason", lambda: group()["limited_by"] == "group")
        assert group()["active"] == group()["backlogged"] == 1
        assert group()["effective_bps"] == 1_000_000


def test_a_group_with_more_than_its_clients_may_have_limits_nobody(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    text = '[shaping]\nclient_rate = "500kB/s"\nclient_group = "g"\n'
    server = start("--config", config(text + '[groups.g]\nrate = "50MB/s"\n'))
    with Download(server, 2) as download:
        download.read(1.2)
        server.wait("a client", lambda: server.ask("/groups/g")["backlogged"] == 1)
        server.wait("the reason", lambda: why(server) == "client")
        assert server.ask("/groups/g")["limited_by"] == "none"


SCHEDULE = '[[schedules]]\napplies_to = ["server"]\nrate = "500kB/s"\n'


@pytest.mark.parametrize(
    ("limits", "reason", "rate_bps", "effective_bps"),
    [
        ('[shaping]\ntotal_rate = "500kB/s"\n', "server", 500_000, 500_000),
        (SCHEDULE, "schedule", None, 500_000),
        (
            '[shaping]\ntotal_rate = "50MB/s"\nclient_rate = "500kB/s"\n',
            "none",
            50_000_000,
            50_000_000,
        ),
        (
            '[shaping]\ntotal_rate = "50MB/s"\nclient_group = "g"\n'
            '[groups.g]\nrate = "500kB/s"\n',
            "none",
            50_000_000,
            50_000_000,
        ),
    ],
)
def test_the_server_says_what_it_has_and_whether_that_is_too_little(
    start: Callable[..., Server],
    config: Callable[[str], str],
    limits: str,
    reason: str,
    rate_bps: int | None,
    effective_bps: int,
) -> None:
    server = start("--config", config(limits))
    assert server.ask("/server")["limited_by"] == "none", "nothing runs"
    with Download(server, 2) as download:
        download.read(1.2)
        server.wait("a client", lambda: server.ask("/server")["backlogged"] == 1)
        server.wait("why", lambda: server.ask("/server")["limited_by"] == reason)
        shown = server.ask("/server")
        assert (shown["rate_bps"], shown["effective_bps"]) == (rate_bps, effective_bps)
        assert shown["active"] == 1
        assert shown["bytes_total"] >= download.total
        assert shown["mean_bps"] > 0


def test_a_downloader_is_told_if_the_operator_wants_that(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    path = config('[shaping]\nclient_rate = "1MB/s"\n')
    server = start("--config", path)
    assert "penstock-limit" not in server.get("/hello.txt").headers
    Path(path).write_text('[shaping]\nclient_rate = "2MB/s"\nexplain = true\n')
    server.process.send_signal(signal.SIGHUP)
    server.wait(
        "the field", lambda: "penstock-limit" in server.get("/hello.txt").headers
    )
    for name in ("/hello.txt", "/big"):
        with server.client() as client:
            client.send(request(name, range="bytes=0-9"))
            assert client.read().headers["penstock-limit"] == "client;rate=2000000"
    Path(path).write_text("[shaping]\nexplain = true\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait(
        "the other limit",
        lambda: server.get("/hello.txt").headers["penstock-limit"] == "none",
    )
