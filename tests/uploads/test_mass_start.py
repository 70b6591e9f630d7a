"""Many uploads that begin at the same moment."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from tests.uploads.intakes import serving
from tests.uploads.test_intake import put, response

CLIENTS = 800
BODY = bytes(512 << 10)


def test_beginnings_of_bodies_wait_until_they_are_asked_for(tmp_path: Path) -> None:
    """Together they are far more than an engine keeps of other input."""
    with (
        serving(tmp_path, max_intakes=CLIENTS, max_connections=CLIENTS) as served,
        contextlib.ExitStack() as stack,
    ):
        sockets = [stack.enter_context(served.connect()) for _ in range(CLIENTS)]
        for sock in sockets:  # a connection's first request is received in small pieces
            sock.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
            response(sock)
        for sock in sockets:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.send(put(len(BODY)) + BODY)
        until = time.monotonic() + 20
        while len(served.intakes) < CLIENTS:
            assert time.monotonic() < until, served.engine.statistics()
            served.wait()
        told = served.engine.statistics()
        assert told["pending_cut_total"] == 0
        pending_bytes = told["pending_bytes"]
        for intake in served.intakes.values():
            intake.answer(200, b"", b"")
        for sock in sockets:
            sock.settimeout(5)
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    if pending_bytes < 64 << 20:
        pytest.skip("the clients began one by one, and it did without")
