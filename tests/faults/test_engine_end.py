"""An engine by itself, in this process: what it leaves behind when it has ended."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
from pathlib import Path

import pytest

from penstock._engine import ClientTable, Engine
from tests.serving import request


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def listener() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield server  # type: ignore[misc]


def make(
    listener: socket.socket, root: Path, clients: ClientTable | None = None
) -> Engine:
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        return Engine(
            index=0,
            cpu=0,
            root_fd=folder,
            listen_fds=[listener.fileno()],
            clients=clients or ClientTable(),
            media_types={"txt": "text/plain"},
        )
    finally:
        os.close(folder)


def test_an_engine_that_was_stopped_has_closed_every_connection(
    listener: socket.socket, root: Path
) -> None:
    before = descriptors()
    engine = make(listener, root)
    thread = threading.Thread(target=engine.run)
    thread.start()
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(
                socket.create_connection(listener.getsockname())
            )
            client.sendall(request("/hello.txt"))
            assert client.recv(4096)
        engine.stop(5 * 10**9)
        thread.join(10)
        assert engine.statistics()["state"] == "stopped"
    del engine
    assert descriptors() == before


def test_what_it_sent_is_counted_when_it_has_ended(
    listener: socket.socket, root: Path
) -> None:
    table = ClientTable()
    engine = make(listener, root, table)
    thread = threading.Thread(target=engine.run)
    thread.start()
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(request("/hello.txt"))
        assert client.recv(4096)
    engine.stop(5 * 10**9)
    thread.join(10)
    sent = engine.statistics()["bytes_sent_total"]
    assert sent > 0
    assert table.server().bytes_total == sent


def test_an_engine_that_never_ran_gives_everything_back(
    listener: socket.socket, root: Path
) -> None:
    before = descriptors()
    for _ in range(3):
        make(listener, root)
    gc.collect()  # an engine and its table know each other
    assert descriptors() == before
