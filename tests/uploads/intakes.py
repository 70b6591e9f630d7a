"""An engine in this process that leaves requests to the test."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock import _engine

PATHS = ("/upload", "/files")


class PastCache:
    """An intake whose orders may pass the page cache."""

    def __init__(self, intake: _engine.Intake) -> None:
        self._intake = intake
        self._fd = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._intake, name)

    def __del__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The file: the next order is of another one."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def receive(self, fd: int, offset: int, most_bytes: int) -> None:
        if self._fd < 0:
            self._fd = direct(fd)
        self._intake.receive(fd, offset, most_bytes, self._fd)


def direct(fd: int) -> int:
    """Another descriptor of the same file, or -1 where there is none with O_DIRECT."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return -1


class Serving:
    """Attributes:
    port: of the engine.
    past_cache: whether intakes are such.
    intakes: those whose end was not told yet, by index.
    """

    def __init__(self, engine: _engine.Engine, port: int) -> None:
        self.engine = engine
        self.port = port
        self.past_cache = False
        self.intakes: dict[int, _engine.Intake | PastCache] = {}
        self.done: set[int] = set()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 5)

    def news(self) -> None:
        for index, intake in _engine.intakes_news(self.engine):
            if intake is None:
                self.done.add(index)
            else:
                self.intakes[index] = PastCache(intake) if self.past_cache else intake

    def wait(self, seconds: float = 5) -> None:
        ready, _, _ = select.select([_engine.intakes_fd(self.engine)], [], [], seconds)
        assert ready, "the engine tells nothing"
        self.news()

    def next(self) -> tuple[int, _engine.Intake | PastCache]:
        """The next request."""
        while not self.intakes:
            self.wait()
        return self.intakes.popitem()

    def receive(
        self,
        index: int,
        intake: _engine.Intake | PastCache,
        fd: int,
        offset: int,
        n_bytes: int,
    ) -> tuple[int, str, int]:
        intake.receive(fd, offset, n_bytes)
        return self.ended(index, intake)

    def ended(
        self, index: int, intake: _engine.Intake | PastCache
    ) -> tuple[int, str, int]:
        while index not in self.done:
            self.wait()
        self.done.remove(index)
        n_bytes, end, error = intake.received
        return n_bytes, end, error


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
