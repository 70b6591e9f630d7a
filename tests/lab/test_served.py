"""penstock itself in the lab: reached as elsewhere, and seen through loss."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from perf.lab.link import Shape
from perf.lab.network import Lab
from tests.conftest import BIG_BYTES, noise
from tests.inlab import place
from tests.serving import Client, Server, of_others

OpenLab = Callable[..., Lab]
Serve = Callable[..., Server]
MS = 1_000_000


def test_curl_at_the_other_end_gets_a_file_over_a_lossy_link(
    open_lab: OpenLab, serve: Serve
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lab = open_lab(down=Shape(delay_ns=MS, loss=0.02), up=Shape(delay_ns=MS))
    server = serve(lab)
    url = f"http://{server.place.host}:{server.port}/1m"
    done = subprocess.run(
        [*lab.inside("client"), "curl", "-sf", "--max-time", "60", url],
        env=of_others(),
        capture_output=True,
        check=True,
    )
    assert done.stdout == noise(1 << 20)
    lost = lab.statistics("down").lost
    assert lost > 0
    assert lab.counters("server")["RetransSegs"] >= lost - 1


def test_each_client_of_the_lab_is_a_client_of_the_server(
    open_lab: OpenLab, serve: Serve
) -> None:
    lab = open_lab()
    server = serve(lab)
    for number in (0, 7):
        with Client(server.port, place=place(lab, number)) as client:
            assert client.get("/hello.txt").body == b"hello, world\n"
    rows = server.ask("/clients")["clients"]
    assert {row["client_id"] for row in rows} >= {"198.19.0.1", "198.19.0.8"}


def test_a_limit_is_changed_through_the_door_while_a_download_runs(
    open_lab: OpenLab, serve: Serve
) -> None:
    server = serve(open_lab(), "--client-rate", "100KB")
    with server.client() as client:
        client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.fill()
        server.ask("/config", {"client_id": "198.19.0.1", "target_bps": 10**9})
        assert client.read().body == noise(BIG_BYTES)


def test_a_door_carries_many_connections_and_survives_one_that_is_reset(
    open_lab: OpenLab, serve: Serve
) -> None:
    server = serve(open_lab())
    with Client(int(server.admin.rpartition(":")[2])) as client:
        client.send(b"GET /status HTTP/1.1\r\n")
        client.reset()
    with ThreadPoolExecutor(20) as pool:
        for status in pool.map(lambda _: server.status(), range(40)):
            assert status["engines"]


def test_a_door_to_nobody_closes(open_lab: OpenLab) -> None:
    with open_lab().door(1) as port, Client(port) as client:
        assert client.closed()
