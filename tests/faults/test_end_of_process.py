"""SIGTERM, kill -9 and what becomes of connections."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import Server, request, running


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return True
    return False


def test_sigterm_while_idle_ends_at_once(start: Callable[..., Server]) -> None:
    server = start()
    server.extra["may_exit"] = True
    with server.client() as idle:
        assert idle.get("/hello.txt").status == 200
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 3
        assert idle.closed()


def test_sigterm_lets_a_download_finish_and_takes_no_new_ones(
    start: Callable[..., Server], root: Path
) -> None:
    server = start("--client-rate", "8MB/s")
    server.extra["may_exit"] = True
    with server.client() as client:
        client.send(request("/big"))
        client.read_head()
        server.process.send_signal(signal.SIGTERM)
        server.wait("closed listeners", lambda: refused(server.port))
        size = (root / "big").stat().st_size
        while len(client.buffer) < size:
            assert client.fill(), "the drain cut a running download"
        assert client.buffer == (root / "big").read_bytes()
        assert client.sock.recv(1) == b"", "keep-alive ends with the drain"
    assert server.process.wait(5) == 0


def test_the_drain_has_a_deadline(start: Callable[..., Server]) -> None:
    server = start("--client-rate", "100kB/s", "--drain-timeout", "0.5")
    server.extra["may_exit"] = True
    with server.client() as client:
        client.send(request("/big"))
        client.read_head()
        began = time.monotonic()
        assert server.stop() == 0
        assert 0.4 < time.monotonic() - began < 4


@pytest.mark.parametrize("engines", ["0", "0,1"])
def test_kill_9_frees_the_port(root: Path, tmp_path: Path, engines: str) -> None:
    with running(root, tmp_path, "--cpus", engines) as first:
        first.extra["may_exit"] = True
        with first.client() as client:
            client.send(request("/big"))
            client.read_head()
            first.process.kill()
            first.process.wait()
        with running(root, tmp_path, port=first.port) as second:
            assert second.get("/hello.txt").status == 200
