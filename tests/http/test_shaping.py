"""Limits as a client meets them: one per client, over all its connections, live."""

from __future__ import annotations

import contextlib
import hashlib
import selectors
import signal
import socket
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from tests.serving import Server, request

MB = 10**6


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Download:
    """One endless reader of a big file over several connections."""

    def __init__(self, server: Server, connections: int, token: str = "") -> None:
        self.selector = selectors.DefaultSelector()
        self.ask = request(
            "/big", **({"authorization": f"Bearer {token}"} if token else {})
        )
        self.total = 0
        self.scratch = bytearray(1 << 18)
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", server.port))
            # One request after the other: the pipeline is never empty.
            sock.sendall(self.ask * 20)
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)

    def read(self, seconds: float) -> float:
        """Bytes per second over the next ``seconds``."""
        before, start = self.total, time.monotonic()
        while (left := start + seconds - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                got = sock.recv_into(self.scratch)
                assert got, "the server closed a download"
                self.total += got
        return (self.total - before) / (time.monotonic() - start)

    def close(self) -> None:
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self.selector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def near(rate: float, limit: float, tolerance: float) -> bool:
    return abs(rate / limit - 1) <= tolerance


@pytest.mark.alone
@pytest.mark.parametrize("connections", [1, 8])
def test_a_limit_holds_over_all_connections_and_engines(
    start: Callable[..., Server], connections: int
) -> None:
    server = start("--client-rate", "4MB/s", "--cpus", "0,1")
    with Download(server, connections) as download:
        assert near(download.read(3), 4 * MB, 0.03)
        if connections == 8:
            used = [e["connections"] for e in server.status()["engines"]]
            assert sum(used) == 8


def test_without_a_limit_a_download_runs_free(server: Server, root: Path) -> None:
    start_s = time.monotonic()
    assert len(server.get("/big").body) == (root / "big").stat().st_size
    assert time.monotonic() - start_s < 5
    assert server.total("transfers_parked") == 0


@pytest.mark.alone
def test_clients_are_told_apart_by_token_and_limited_each(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    server = start(
        "--config",
        config(
            '[shaping]\nclient_rate = "1MB/s"\n'
            f'[clients.ann]\nrate = "2MB/s"\ntoken_sha256 = ["{digest("a")}"]\n'
            f'[clients.bob]\nrate = "3MB/s"\ntoken_sha256 = ["{digest("b")}"]\n'
        ),
    )
    with (
        Download(server, 2, "a") as ann,
        Download(server, 2, "b") as bob,
        Download(server, 2, "nobody's") as other,
    ):
        for _ in range(300):
            ann.read(0.005), bob.read(0.005), other.read(0.005)
        rows = {row["client_id"]: row for row in server.ask("/clients")["clients"]}
    assert rows["ann"]["target_bps"] == 2 * MB
    for name, limit in (("ann", 2), ("bob", 3), ("127.0.0.1", 1)):
        seconds = 300 * 0.015
        assert near(rows[name]["bytes_total"] / seconds, limit * MB, 0.25), name
        whole = rows[name]["mean_bps"] * 10  # of the complete seconds among them
        assert limit * MB * (seconds - 2) * 0.75 < whole <= rows[name]["bytes_total"]


@pytest.mark.alone
def test_a_changed_limit_reaches_a_download_in_flight(
    start: Callable[..., Server],
) -> None:
    server = start("--client-rate", "1MB/s")
    with Download(server, 3) as download:
        assert near(download.read(1), MB, 0.1)
        server.ask("/config", {"client_id": "127.0.0.1", "target_bps": 8 * MB})
        download.read(0.2)
        assert near(download.read(1), 8 * MB, 0.1)
        server.ask("/config", {"client_id": "127.0.0.1", "target_bps": 2 * MB})
        download.read(0.3)
        assert near(download.read(1), 2 * MB, 0.1)


@pytest.mark.alone
def test_the_total_rate_bounds_all_clients_together(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    server = start(
        "--total-rate",
        "4MB/s",
        "--cpus",
        "0",
        "--config",
        config(
            f'[clients.ann]\ntoken_sha256 = ["{digest("a")}"]\n'
            f'[clients.bob]\ntoken_sha256 = ["{digest("b")}"]\n'
        ),
    )
    with Download(server, 2, "a") as ann, Download(server, 2, "b") as bob:
        for _ in range(150):
            ann.read(0.01), bob.read(0.01)
        start_bytes, start_s = ann.total + bob.total, time.monotonic()
        shares = ann.total, bob.total
        for _ in range(100):
            ann.read(0.01), bob.read(0.01)
        rate = (ann.total + bob.total - start_bytes) / (time.monotonic() - start_s)
        grown = ann.total - shares[0], bob.total - shares[1]
    assert near(rate, 4 * MB, 0.1)
    assert min(grown) > 0.25 * sum(grown), "neither client is starved"


@pytest.mark.alone
def test_a_small_file_is_not_stuck_behind_bulk(start: Callable[..., Server]) -> None:
    server = start("--client-rate", "2MB/s")
    waits = []
    with Download(server, 16) as bulk:
        for _ in range(3):
            bulk.read(0.3)
            with server.client() as client:
                asked = time.monotonic()
                client.send(request("/hello.txt"))
                assert client.read().status == 200
                waits.append(time.monotonic() - asked)
    assert min(waits) < 0.35, "the best of three: the machine may be busy"


@pytest.mark.alone
@pytest.mark.parametrize("rate", ["200kB/s", "2MB/s"])
def test_the_first_byte_comes_soon_beside_32_downloads_of_the_same_client(
    start: Callable[..., Server], rate: str
) -> None:
    server = start("--client-rate", rate, "--cpus", "0")
    waits = []
    with Download(server, 32) as bulk:
        for _ in range(6):
            bulk.read(0.7)
            with server.client() as client:
                asked = time.monotonic()
                client.send(request("/1m"))
                client.fill()
                waits.append(time.monotonic() - asked)
                client.reset()
    assert sorted(waits)[3] < 0.35, "half of them: the machine may be busy"
    assert server.total("grants_early_total") > 0


@pytest.mark.alone
def test_many_clients_under_the_total_rate_all_have_their_turn_soon(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    names = [f"c{n}" for n in range(60)]
    tables = "".join(f'[clients.{n}]\ntoken_sha256 = ["{digest(n)}"]\n' for n in names)
    server = start("--total-rate", "4MB/s", "--cpus", "0", "--config", config(tables))
    with contextlib.ExitStack() as stack:
        downloads = [stack.enter_context(Download(server, 1, name)) for name in names]

        def all_grew(seconds: float) -> bool:
            before = [download.total for download in downloads]
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                for download in downloads:
                    download.read(0.001)
            pairs = zip(downloads, before, strict=True)
            return all(download.total > was for download, was in pairs)

        all_grew(1.0)
        assert all_grew(1.0), "60 turns of 16 KiB take a quarter of a second"


def post_status(server: Server, body: Any) -> int:
    try:
        server.ask("/config", body)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.mark.parametrize("target", [0, -1, 1.5, 10**13, "5MB/s", True, None])
def test_an_unusable_limit_is_refused_and_changes_nothing(
    server: Server, target: Any
) -> None:
    before = server.ask("/clients")["clients"], server.status()["config_version"]
    assert post_status(server, {"client_id": "eve", "target_bps": target}) == 422
    assert post_status(server, {"client_id": "eve", "target_bps": 1, "x": 2}) == 422
    after = server.ask("/clients")["clients"], server.status()["config_version"]
    assert [row["client_id"] for row in after[0]] == [
        row["client_id"] for row in before[0]
    ]
    assert after[1] == before[1]


@pytest.mark.alone
def test_sighup_reloads_and_a_bad_file_changes_nothing(
    start: Callable[..., Server], config: Callable[[str], str]
) -> None:
    path = config('[shaping]\nclient_rate = "1MB/s"\n')
    server = start("--config", path)
    with Download(server, 2) as download:
        assert near(download.read(1), MB, 0.1)
        Path(path).write_text('[shaping]\nclient_rate = "5MB/s"\n')
        server.process.send_signal(signal.SIGHUP)
        download.read(0.5)
        assert near(download.read(1), 5 * MB, 0.1)
        Path(path).write_text('[shaping]\nclient_rate = "fast"\n')
        server.process.send_signal(signal.SIGHUP)
        server.wait("the reason", lambda: "client_rate" in server.log.read_text())
        assert near(download.read(1), 5 * MB, 0.1)
