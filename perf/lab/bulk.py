"""Downloads of one client over several connections of the lab, and what it saw."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from perf.errors import PerfError
from perf.lab.network import Lab
from perf.lab.served import PORT
from perf.load.http import get

BUFFER_BYTES = 1 << 20
POLL_SECONDS = 0.1
_STOP_SECONDS = 10.0


class Bulk:
    """Reads all that comes, in a thread of its own.

    Attributes:
        total_bytes: that have arrived so far, the few of the heads included.
        ended: how many downloads came to an end, which none should.
    """

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.total_bytes = 0
        self.ended = 0
        self._sockets = sockets
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="bulk")

    def begin(self, path: str) -> None:
        for sock in self._sockets:
            sock.sendall(get(path))
            sock.setblocking(False)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)

    def _read(self) -> None:
        buffer = bytearray(BUFFER_BYTES)
        with selectors.DefaultSelector() as selector:
            for sock in self._sockets:
                selector.register(sock, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in selector.select(POLL_SECONDS):
                    assert isinstance(key.fileobj, socket.socket)
                    n = _discard(key.fileobj, buffer)
                    self.total_bytes += n
                    if n == 0:
                        self.ended += 1
                        selector.unregister(key.fileobj)


def _discard(sock: socket.socket, buffer: bytearray) -> int:
    """How many bytes were taken; 0: the connection is over."""
    try:
        # MSG_TRUNC: TCP counts what it has, and copies nothing.
        return sock.recv_into(buffer, 0, socket.MSG_TRUNC)
    except OSError:
        return 0


@contextmanager
def downloading(lab: Lab, path: str, connections: int) -> Iterator[Bulk]:
    """Download ``path``, which is larger than what can arrive, until the block ends.

    Raises:
        PerfError: a connection was not made, or a download ended too soon.
    """
    with ExitStack() as stack:
        try:
            sockets = [
                stack.enter_context(lab.connect(PORT)) for _ in range(connections)
            ]
        except OSError as error:
            raise PerfError(f"no connection through the lab: {error}") from error
        bulk = Bulk(sockets)
        stack.callback(bulk.stop)
        bulk.begin(path)
        yield bulk
    if bulk.ended:
        raise PerfError(f"{bulk.ended} of {connections} downloads ended too soon")
