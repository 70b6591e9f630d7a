"""An engine in this process that leaves requests to the test."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from penstock import _engine

PATHS = ("/upload", "/files")


class Serving:
    """Attributes:
    port: of the engine.
    intakes: those whose end was not told yet, by index.
    """

    def __init__(self, engine: _engine.Engine, port: int) -> None:
        self.engine = engine
        self.port = port
        self.intakes: dict[int, _engine.Intake] = {}
        self.done: set[int] = set()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 5)

    def news(self) -> None:
        for index, intake in _engine.intakes_news(self.engine):
            if intake is None:
                self.done.add(index)
            else:
                self.intakes[index] = intake

    def wait(self, seconds: float = 5) -> None:
        ready, _, _ = select.select([_engine.intakes_fd(self.engine)], [], [], seconds)
        assert ready, "the engine tells nothing"
        self.news()

    def next(self) -> tuple[int, _engine.Intake]:
        """The next request."""
        while not self.intakes:
            self.wait()
        return self.intakes.popitem()

    def receive(
        self, index: int, intake: _engine.Intake, fd: int, offset: int, n_bytes: int
    ) -> tuple[int, str, int]:
        intake.receive(fd, offset, n_bytes)
        return self.ended(index, intake)

    def ended(self, index: int, intake: _engine.Intake) -> tuple[int, str, int]:
        while index not in self.done:
            self.wait()
        self.done.remove(index)
        return intake.received


@contextlib.contextmanager
def serving(root: Path, **limits: int) -> Iterator[Serving]:
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        engine = _engine.Engine(
            index=0,
            cpu=0,
            root_fd=folder,
            listen_fds=[listener.fileno()],
            clients=_engine.ClientTable(rows=16),
            media_types={},
            delegates=PATHS,
            limits={"max_intakes": 8} | limits,
        )
        port = listener.getsockname()[1]
    os.close(folder)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield Serving(engine, port)
    finally:
        engine.stop(0)
        thread.join(10)
        assert not thread.is_alive()
