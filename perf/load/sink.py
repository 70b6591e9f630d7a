"""Downloads and discards: keep-alive connections read with MSG_TRUNC.

A client that copies gigabytes to user space runs out of CPU before the server
does. With MSG_TRUNC the kernel frees the received pages without copying them
(tcp(7)), so one core here outruns one core there.

The sink runs in a process of its own (``python -m perf.load.sink``, order on
stdin, result on stdout, both JSON), so that the harness' own work is not in its way.
"""

import json
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from perf.cpu import pinned
from perf.errors import PerfError
from perf.load.http import get, split_head

READ_BYTES = 1 << 20
_GRACE_SECONDS = 60.0
_STALL_SECONDS = 20.0
"""Without a byte on any connection for so long, the run has failed."""


@dataclass(frozen=True, slots=True)
class SinkOrder:
    port: int
    path: str
    connections: int
    seconds: float
    token: str | None = None
    finish: bool = True
    """True: at the end ask no more, but take what was asked for, so that the
    server's work and our bytes cover the same responses. False: measure exactly
    ``seconds`` from the first byte of a body on, and drop the rest."""


@dataclass(frozen=True, slots=True)
class SinkRun:
    body_bytes: int
    responses: int  # complete ones
    seconds: float  # from the first body byte to the end of the measurement
    cpu_ns: int  # of the sink, since it began to connect
    wall_ns: int


class Stream:
    """One keep-alive connection: asks for the file again whenever it has it."""

    def __init__(self, order: SinkOrder, scratch: bytearray) -> None:
        self.sock = socket.create_connection(("127.0.0.1", order.port), _STALL_SECONDS)
        self.sock.setblocking(False)
        self.responses = 0
        self._request = get(order.path, order.token)
        self._scratch = scratch
        self._head = b""
        self._asked = False  # and no complete head yet
        self._missing = 0  # bytes of the current body that are still to come

    @property
    def busy(self) -> bool:
        """Whether a response is under way."""
        return self._missing > 0 or self._asked

    def ask(self) -> None:
        self._head, self._asked = b"", True
        if self.sock.send(self._request) != len(self._request):
            raise PerfError("a request did not fit into an empty socket")

    def read(self) -> int:
        """Take what has arrived, at most READ_BYTES; returns its body bytes."""
        if self._asked:
            return self._read_head()
        want = min(self._missing, READ_BYTES)
        got = self.sock.recv_into(self._scratch, want, socket.MSG_TRUNC)
        if got == 0:
            raise PerfError("the server closed a connection within a body")
        return self._took(got)

    def _read_head(self) -> int:
        piece = self.sock.recv(4096)
        if not piece:
            raise PerfError("the server closed a connection instead of answering")
        self._head += piece
        parts = split_head(self._head)
        if parts is None:
            return 0
        self._missing, got = parts
        self._asked = False
        return self._took(got)

    def _took(self, got: int) -> int:
        self._missing -= got
        if self._missing == 0:
            self.responses += 1
        return got


def drain(order: SinkOrder) -> SinkRun:
    """Run the order in this process.

    Raises:
        PerfError: a response was not a success, or nothing arrived for long.
        OSError: a connection failed.
    """
    cpu_start, wall_start = time.process_time_ns(), time.monotonic_ns()
    scratch = bytearray(READ_BYTES)
    streams = [Stream(order, scratch) for _ in range(order.connections)]
    try:
        for stream in streams:
            stream.ask()
        count, elapsed_ns = _take(streams, order)
    finally:
        for stream in streams:
            stream.sock.close()
    return SinkRun(
        body_bytes=count,
        responses=sum(stream.responses for stream in streams),
        seconds=elapsed_ns / 1e9,
        cpu_ns=time.process_time_ns() - cpu_start,
        wall_ns=time.monotonic_ns() - wall_start,
    )


def _take(streams: list[Stream], order: SinkOrder) -> tuple[int, int]:
    """Body bytes, and nanoseconds since the first of them."""
    count, first_ns, deadline_ns, running = 0, 0, 0, len(streams)
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.sock, selectors.EVENT_READ, stream)
        while running:
            events = selector.select(_patience(deadline_ns, order))
            now_ns = time.monotonic_ns()
            late = deadline_ns and now_ns >= deadline_ns
            if late and not order.finish:
                return count, deadline_ns - first_ns
            if not events:
                raise PerfError(f"nothing arrived for {_STALL_SECONDS:g} s")
            for key, _ in events:
                stream = key.data
                count += stream.read()
                if stream.busy:
                    continue
                if late:
                    selector.unregister(stream.sock)
                    running -= 1
                else:
                    stream.ask()
            if count and not first_ns:
                first_ns = now_ns
                deadline_ns = first_ns + int(order.seconds * 1e9)
    return count, time.monotonic_ns() - first_ns


def _patience(deadline_ns: int, order: SinkOrder) -> float:
    if order.finish or not deadline_ns:
        return _STALL_SECONDS
    return max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)


def run(order: SinkOrder, cpus: set[int]) -> SinkRun:
    """Run the order in a process of its own on ``cpus``.

    Raises:
        PerfError: the sink failed; with its reason.
    """
    with pinned(cpus):
        process = subprocess.Popen(
            [sys.executable, "-m", "perf.load.sink"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )
    try:
        output, errors = process.communicate(
            json.dumps(asdict(order)), timeout=order.seconds + _GRACE_SECONDS
        )
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise PerfError(f"the sink failed: {errors.strip()}")
    return SinkRun(**json.loads(output))


def main() -> int:
    order = SinkOrder(**json.load(sys.stdin))
    try:
        result = drain(order)
    except (PerfError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(asdict(result), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
