"""Downloads and discards: keep-alive connections read with MSG_TRUNC.

A client that copies gigabytes to user space runs out of CPU before the server
does. With MSG_TRUNC the kernel frees the received pages without copying them
(tcp(7)), so one core here outruns one core there.

The sink runs as a program of its own, see ``perf.load.apart``.
"""

import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from perf.errors import PerfError
from perf.load import apart
from perf.load.http import Body, ask, get, some, split_head

READ_BYTES = 1 << 20
_PIECE_BYTES = 4096  # of heads and chunks, which are looked at
_GRACE_SECONDS = 120.0
_STALL_SECONDS = 20.0
"""Without a byte on any connection for so long, the run has failed."""


@dataclass(frozen=True, slots=True)
class SinkOrder:
    port: int
    paths: Sequence[str]
    """Asked for in this order, over whichever connection is free, again and again.
    A finishing run ends after whole passes only: every server does the same work."""
    connections: int
    seconds: float  # 0: one pass
    token: str | None = None
    finish: bool = True
    """True: at the end ask no more, but take what was asked for, so that the
    server's work and our bytes cover the same responses. False: measure exactly
    ``seconds`` from the first byte of a body on, and drop the rest."""
    first_bytes: bool = False
    """Whether to report how long every first byte of a body took."""


@dataclass(frozen=True, slots=True)
class SinkRun:
    body_bytes: int
    responses: int  # complete ones
    seconds: float  # from the first body byte to the end of the measurement
    cpu_ns: int  # of the sink, since it began to connect
    wall_ns: int
    first_byte_ns: Sequence[int] = ()  # request sent to first byte, one per response


class Stream:
    """One keep-alive connection, asked for one body after the other."""

    def __init__(self, port: int, scratch: bytearray) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), _STALL_SECONDS)
        self.sock.setblocking(False)
        self.responses = 0
        self.asked_ns = 0
        self._scratch = scratch
        self._head = b""
        self._body: Body | None = None  # None: no complete head yet

    @property
    def busy(self) -> bool:
        """Whether a response is under way."""
        return self._body is None or not self._body.done

    def ask(self, request: bytes) -> None:
        self._head, self._body = b"", None
        self.asked_ns = time.monotonic_ns()
        ask(self.sock, request)

    def read(self) -> int:
        """Take what has arrived, at most READ_BYTES; returns its body bytes."""
        body = self._body
        if body is None:
            got = self._read_head()
        elif body.missing:
            want = min(body.missing, READ_BYTES)
            got = self.sock.recv_into(self._scratch, want, socket.MSG_TRUNC)
            if got == 0:
                raise PerfError("the server closed a connection within a body")
            body.discarded(got)
        else:
            got = body.feed(some(self.sock, _PIECE_BYTES, "within a body"))
        if not self.busy:
            self.responses += 1
        return got

    def _read_head(self) -> int:
        self._head += some(self.sock, _PIECE_BYTES)
        parts = split_head(self._head)
        if parts is None:
            return 0
        self._body, got = parts
        return got


class Requests:
    """The order's requests, in turn, in whole passes."""

    def __init__(self, order: SinkOrder) -> None:
        self._requests = [get(path, order.token) for path in order.paths]
        self._index = 0

    def next(self, *, late: bool) -> bytes | None:
        """The next request; None at the end of a pass when it is late."""
        if self._index == len(self._requests):
            self._index = 0
        if late and self._index == 0:
            return None
        self._index += 1
        return self._requests[self._index - 1]


def drain(order: SinkOrder) -> SinkRun:
    """Run the order in this process.

    Raises:
        PerfError: a response was not a success, or nothing arrived for long.
        OSError: a connection failed.
    """
    cpu_start, wall_start = time.process_time_ns(), time.monotonic_ns()
    scratch = bytearray(READ_BYTES)
    streams = [Stream(order.port, scratch) for _ in range(order.connections)]
    first_byte_ns: list[int] = []
    try:
        count, elapsed_ns = _take(streams, order, first_byte_ns)
    finally:
        for stream in streams:
            stream.sock.close()
    return SinkRun(
        body_bytes=count,
        responses=sum(stream.responses for stream in streams),
        seconds=elapsed_ns / 1e9,
        cpu_ns=time.process_time_ns() - cpu_start,
        wall_ns=time.monotonic_ns() - wall_start,
        first_byte_ns=first_byte_ns,
    )


def _take(
    streams: list[Stream], order: SinkOrder, first_byte_ns: list[int]
) -> tuple[int, int]:
    """Body bytes, and nanoseconds since the first of them."""
    count, first_ns, deadline_ns, running = 0, 0, 0, len(streams)
    requests = Requests(order)
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.sock, selectors.EVENT_READ, stream)
            _ask(stream, requests)
        while running:
            events = selector.select(_patience(deadline_ns, order))
            now_ns = time.monotonic_ns()
            late = bool(deadline_ns) and now_ns >= deadline_ns
            if late and not order.finish:
                return count, deadline_ns - first_ns
            if not events:
                raise PerfError(f"nothing arrived for {_STALL_SECONDS:g} s")
            for key, _ in events:
                stream = key.data
                got = stream.read()
                count += got
                if got and stream.asked_ns:
                    if order.first_bytes:
                        first_byte_ns.append(now_ns - stream.asked_ns)
                    stream.asked_ns = 0
                if not stream.busy and not _ask(stream, requests, late=late):
                    selector.unregister(stream.sock)
                    running -= 1
            if count and not first_ns:
                first_ns = now_ns
                deadline_ns = first_ns + int(order.seconds * 1e9)
    return count, time.monotonic_ns() - first_ns


def _ask(stream: Stream, requests: Requests, *, late: bool = False) -> bool:
    request = requests.next(late=late)
    if request is not None:
        stream.ask(request)
    return request is not None


def _patience(deadline_ns: int, order: SinkOrder) -> float:
    if order.finish or not deadline_ns:
        return _STALL_SECONDS
    return max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)


def run(order: SinkOrder, cpus: set[int]) -> SinkRun:
    """Run the order in a process of its own on ``cpus``.

    Raises:
        PerfError: the sink failed; with its reason.
    """
    seconds = order.seconds + _GRACE_SECONDS
    return SinkRun(**apart.run("perf.load.sink", asdict(order), cpus, seconds))


if __name__ == "__main__":
    sys.exit(apart.answer(lambda order: asdict(drain(SinkOrder(**order)))))
