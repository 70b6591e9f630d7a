"""As much HTTP/1.1 as a load generator needs: GET, and where a response ends."""

import socket

from perf.errors import PerfError

HEAD_BYTES_MAX = 16384
_LINE_BYTES_MAX = 256  # of a chunk's size line; more is no chunk
_SUCCESS = (b"200", b"206")


def get(path: str, token: str | None = None) -> bytes:
    """A keep-alive GET of ``/path``, with a bearer token when there is one."""
    lines = [f"GET /{path} HTTP/1.1", "Host: perf"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask(sock: socket.socket, request: bytes) -> None:
    """Send all of it on a socket that does not block and has nothing to send.

    Raises:
        PerfError: it did not take all.
    """
    if sock.send(request) != len(request):
        raise PerfError("a request did not fit into an empty socket")


def some(
    sock: socket.socket, most: int = 65536, when: str = "instead of answering"
) -> bytes:
    """What has arrived, up to ``most`` bytes.

    Raises:
        PerfError: the server closed the connection.
    """
    piece = sock.recv(most)
    if not piece:
        raise PerfError(f"the server closed a connection {when}")
    return piece


class Body:
    """How much of a response's body is still to come, by its length or by chunks.

    Whoever reads may discard ``missing`` bytes unseen, and must show the rest.
    """

    def __init__(self, length: int | None) -> None:
        """``length`` in bytes; None for chunks (RFC 9112, section 7.1)."""
        self.missing = length or 0
        self.done = length == 0
        self._chunked = length is None
        self._framing = b""

    def discarded(self, count: int) -> None:
        """``count`` bytes of the body were taken unseen, at most ``missing``."""
        self.missing -= count
        if self.missing == 0 and not self._chunked:
            self.done = True

    def feed(self, piece: bytes) -> int:
        """Look at bytes as they came; returns how many of them belong to the body.

        Raises:
            PerfError: what should be a chunk's size is not.
        """
        count = 0
        while piece and not self.done:
            if self.missing:
                got = min(self.missing, len(piece))
                self.discarded(got)
                count, piece = count + got, piece[got:]
            else:
                piece = self._chunk_size(piece)
        return count

    def _chunk_size(self, piece: bytes) -> bytes:
        """Take the size line and the line end before it; returns the rest."""
        self._framing += piece
        start = 2 if self._framing.startswith(b"\r\n") else 0
        line, found, rest = self._framing[start:].partition(b"\r\n")
        if not found:
            if len(self._framing) > _LINE_BYTES_MAX:
                raise PerfError("a chunk's size line does not end")
            return b""
        try:
            self.missing = int(line.partition(b";")[0], 16)
        except ValueError:
            raise PerfError(f"{line[:40]!r} is not the size of a chunk") from None
        if self.missing == 0:
            # No server here sends trailers: what follows is the last line end.
            if len(rest) < 2:
                return b""
            self.done = True
        self._framing = b""
        return rest


def split_head(received: bytes) -> tuple[Body, int] | None:
    """The body to expect, and how many bytes of it ``received`` holds already.

    None while the head is incomplete.

    Raises:
        PerfError: not a success, empty, without a length, or with an endless head.
    """
    head, found, rest = received.partition(b"\r\n\r\n")
    if not found:
        if len(received) > HEAD_BYTES_MAX:
            raise PerfError("a response head does not end")
        return None
    status, *fields = head.split(b"\r\n")
    if status.split(b" ")[1:2] not in ([code] for code in _SUCCESS):
        raise PerfError(f"the server answered {status.decode(errors='replace')}")
    body = _body(fields)
    return body, body.feed(rest)


def _body(fields: list[bytes]) -> Body:
    for field in fields:
        name, _, value = field.partition(b":")
        if name.strip().lower() == b"content-length":
            if int(value) == 0:  # no file here is: somebody else answered
                raise PerfError("the server answered with an empty body")
            return Body(int(value))
        if name.strip().lower() == b"transfer-encoding":
            return Body(None)
    raise PerfError("the server answered without a Content-Length")
