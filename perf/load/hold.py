"""Idle connections: each served once, then kept open without a word."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from perf.errors import PerfError
from perf.load.http import get, some, split_head
from perf.process import raise_open_files

CONNECTIONS_PER_ADDRESS = 5000
"""Well below the ephemeral ports (28,232 by default) of one source address."""
SPARE_FILES = 256
_TIMEOUT_SECONDS = 5.0


def connections_allowed() -> int:
    """Connections that our limit of open files leaves room for."""
    return raise_open_files() - SPARE_FILES


def check(connections: int) -> None:
    """Whether so many fit.

    Raises:
        PerfError: the limit of open files does not allow it.
    """
    allowed = connections_allowed()
    if connections > allowed:
        raise PerfError(
            f"the limit of open files allows {allowed} connections: raise the hard "
            f"limit (ulimit -Hn) to {connections + SPARE_FILES}"
        )


def source_address(index: int) -> str:
    """The loopback address from which the index-th connection comes."""
    return f"127.0.0.{2 + index // CONNECTIONS_PER_ADDRESS}"


class Held:
    """Open connections, closed together."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = get(path)
        self.sockets: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self.sockets)

    def grow(self, total: int) -> None:
        """Open until there are ``total``, each served once.

        Raises:
            PerfError: one was refused or not served; the message says which.
        """
        while len(self.sockets) < total:
            try:
                sock = self._served(source_address(len(self.sockets)))
            except (PerfError, OSError) as error:
                which = len(self.sockets) + 1
                raise PerfError(f"connection {which} was not served: {error}") from None
            self.sockets.append(sock)

    def _served(self, source: str) -> socket.socket:
        sock = socket.create_connection(
            ("127.0.0.1", self._port), _TIMEOUT_SECONDS, source_address=(source, 0)
        )
        try:
            exchange(sock, self._request)
        except BaseException:
            sock.close()
            raise
        return sock

    def exchange_again(self, index: int) -> None:
        """Use a held connection once more.

        Raises:
            PerfError, OSError: it is not served any more.
        """
        exchange(self.sockets[index], self._request)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


@contextmanager
def held(port: int, path: str) -> Iterator[Held]:
    connections = Held(port, path)
    try:
        yield connections
    finally:
        connections.close()


def exchange(sock: socket.socket, request: bytes) -> int:
    """One request and its whole response on a blocking socket; its length in bytes,
    head included.

    Raises:
        PerfError: the answer is not a complete success.
    """
    sock.sendall(request)
    received = b""
    while (parts := split_head(received)) is None:
        received += some(sock)
    body, _ = parts
    count = len(received)
    while not body.done:
        piece = some(sock)
        body.feed(piece)
        count += len(piece)
    return count
