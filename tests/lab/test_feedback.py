"""The controllers end to end: a real server, a real path that loses and marks."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perf.lab.link import Shape
from perf.lab.network import Lab
from tests.http.test_pacing import NO_PACE, pace_bps, peer, sockets
from tests.inlab import place
from tests.serving import Client, Server, request

OpenLab = Callable[..., Lab]
Serve = Callable[..., Server]
MS = 1_000_000
MB = 1_000_000
US = "198.19.0.1"
RATE = 12_500_000  # 100 Mb/s
CONNECTIONS = 4
ENDLESS_BYTES = 4 << 30  # no download of it ends within a test


@pytest.fixture(autouse=True)
def endless(root: Path) -> Iterator[None]:
    """A file of one hole, which takes no room."""
    path = root / "endless"
    with path.open("wb") as file:
        file.truncate(ENDLESS_BYTES)
    yield
    path.unlink()


class Readers:
    """Downloads over several connections of one client, for as long as it is open."""

    def __init__(self, server: Server, lab: Lab, n: int = CONNECTIONS) -> None:
        self.total = 0
        self._clients = [
            Client(server.port, timeout=60, place=place(lab)) for _ in range(n)
        ]
        self._threads = [
            threading.Thread(target=self._read, args=(client,), daemon=True)
            for client in self._clients
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for client in self._clients:
            client.sock.shutdown(socket.SHUT_RDWR)  # wakes who reads
        for thread in self._threads:
            thread.join(10)
        for client in self._clients:
            client.reset()

    def _read(self, client: Client) -> None:
        with contextlib.suppress(OSError):  # it was shut down
            client.send(request("/endless"))
            while data := client.sock.recv(1 << 16):
                self.total += len(data)


@contextlib.contextmanager
def reading(server: Server, lab: Lab, n: int = CONNECTIONS) -> Iterator[Readers]:
    readers = Readers(server, lab, n)
    readers.start()
    try:
        yield readers
    finally:
        readers.close()


def shaping(mode: str, extra: str = "") -> str:
    return f'[shaping]\nclient_rate = "100Mbit/s"\nclient_mode = "{mode}"\n{extra}'


def row(server: Server) -> Any:
    return server.ask(f"/clients/{US}")


def metric(server: Server, series: str) -> float | None:
    """Its value; None: there is no such series."""
    with urllib.request.urlopen(f"{server.admin}/metrics") as response:
        text = response.read().decode()
    found = re.search(rf"^{re.escape(series)} (\S+)", text, re.MULTILINE)
    return float(found[1]) if found else None


@pytest.mark.alone
@pytest.mark.slow
def test_a_path_that_loses_a_fifth_trips_the_breaker_which_recovers_by_its_schedule(
    open_lab: OpenLab, serve: Serve, config: Callable[[str], str]
) -> None:
    """100 Mb/s become 40 within ten to twelve seconds, and come back in steps."""
    quick = '[feedback]\nbreaker_clean = "4s"\n'
    way = Shape(delay_ns=10 * MS)
    lab = open_lab(down=way, up=way, congestion="bbr")
    server = serve(lab, "--config", config(shaping("full", quick)))
    with reading(server, lab):
        server.wait("bytes", lambda: row(server)["bytes_total"] > MB)
        assert row(server)["breaker"] == "closed"
        lab.change("down", loss=0.2)
        began = time.monotonic()
        server.wait("a trip", lambda: row(server)["breaker"] == "degraded", 16)
        took = time.monotonic() - began
        # A sample that began before the loss did may be bad by then, too.
        assert 8 <= took <= 12.5
        assert row(server)["breaker_bps"] <= RATE * 2 // 5
        assert row(server)["effective_bps"] <= RATE * 2 // 5
        assert row(server)["feedback"]["loss_ratio"] >= 0.15
        named = f'penstock_client_breaker_state{{client_id="{US}",state="degraded"}}'
        assert metric(server, named) == 1
        lab.change("down", loss=0.0)
        began = time.monotonic()
        # Who gives up and tries again only adds to the loss: it is told when to.
        wait_s = int(server.get("/hello.txt")["retry-after"])
        assert 1 <= wait_s <= 4
        shares = []
        while (seen := row(server))["breaker"] != "closed":
            shares.append(seen["breaker_bps"] / RATE)
            assert time.monotonic() - began < 60
            time.sleep(0.2)
        took = time.monotonic() - began
    assert "retry-after" not in server.get("/hello.txt").headers
    assert metric(server, named) is None
    steps = list(dict.fromkeys(round(share, 2) for share in shares if share >= 0.4))
    assert steps[-2:] == [0.55, 0.75]
    assert 4 + 3 * 10 - 2 <= took <= 4 + 3 * 10 + 8


def test_loss_cuts_and_the_numbers_that_made_it_so_are_shown(
    open_lab: OpenLab, serve: Serve, config: Callable[[str], str]
) -> None:
    way = Shape(delay_ns=10 * MS, loss=0.02)
    lab = open_lab(down=way, up=Shape(delay_ns=10 * MS), congestion="cubic")
    server = serve(lab, "--config", config(shaping("full")))
    with reading(server, lab):
        server.wait("a cut", lambda: row(server)["controller_bps"] is not None, 10)
        feedback = row(server)["feedback"]
    assert feedback["retransmitted"] > 0
    assert 0.019 < feedback["min_rtt_seconds"] < 0.1
    counter = 'penstock_feedback_changes_total{change="loss",kind="controller"}'
    assert (metric(server, counter) or 0) >= 1


def paced(server: Server) -> bool:
    """Whether the kernel is told to spread out what any of the connections is sent."""
    seen = False
    for sock in sockets(server.pid):
        with sock:
            seen = seen or (bool(peer(sock)) and pace_bps(sock) < NO_PACE)
    return seen


def test_whom_the_controller_holds_is_sent_no_bursts(
    open_lab: OpenLab, serve: Serve, config: Callable[[str], str]
) -> None:
    """A grant that leaves at once overflows the very queue that was found too short."""
    way = Shape(delay_ns=10 * MS, rate_bps=20 * MB // 8, queue_bytes=50_000)
    lab = open_lab(down=way, up=Shape(delay_ns=10 * MS), congestion="cubic")
    server = serve(lab, "--config", config(shaping("full")))
    with reading(server, lab):
        server.wait("bytes", lambda: row(server)["bytes_total"] > 0, 10)
        server.wait("a cut", lambda: row(server)["controller_bps"] is not None, 20)
        server.wait("a pace", lambda: paced(server), 10)


def test_marks_cut_as_loss_does(
    open_lab: OpenLab, serve: Serve, config: Callable[[str], str]
) -> None:
    way = Shape(delay_ns=10 * MS, rate_bps=20 * MB // 8, mark_above_ns=5 * MS)
    lab = open_lab(down=way, up=Shape(delay_ns=10 * MS), congestion="cubic", ecn=1)
    server = serve(lab, "--config", config(shaping("full")))
    with reading(server, lab):
        server.wait("marks", lambda: row(server)["feedback"] is not None, 10)
        server.wait("marks", lambda: row(server)["feedback"]["marked"] > 0, 10)
        server.wait("a cut", lambda: row(server)["controller_bps"] is not None, 10)
        assert row(server)["feedback"]["ecn_supported"]
        assert row(server)["limited_by"] in ("controller", "peer", "client", "none")


def test_without_a_mode_nothing_is_asked_and_nothing_is_cut(
    open_lab: OpenLab, serve: Serve, config: Callable[[str], str]
) -> None:
    way = Shape(delay_ns=10 * MS, loss=0.05)
    lab = open_lab(down=way, up=Shape(delay_ns=10 * MS), congestion="cubic")
    server = serve(lab, "--config", config(shaping("off")))
    with reading(server, lab) as readers:
        server.wait("bytes", lambda: readers.total > MB // 2, 20)
        assert row(server)["feedback"] is None
        assert server.total("sensed_total") == 0
