"""Slow uploaders: connections that bring their bodies in small pieces, by a schedule.

They come from addresses of their own, and their pieces are spread evenly over time.
Each has brought a part before, and all parts differ, so that what a server does once in
so many bytes is not due for all at once. A second part comes a while later, for servers
that count from when they last took all there was. No body comes to its end.

It runs as a program of its own, whose order is its argument, until its stdin closes;
on its core whoever else wants it goes first (SCHED_IDLE).
"""

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from perf.errors import PerfError
from perf.load import apart, bring
from perf.process import raise_open_files

READY = "ready"
BETWEEN_PARTS_SECONDS = 1.0
END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DripOrder:
    body: bring.BringOrder  # how each begins, and how many there are
    first_bytes: int  # the largest first part; the second one is half of the first
    piece_bytes: int
    period_ns: int  # between two pieces of one


@dataclass(frozen=True, slots=True)
class DripRun:
    """From when all were there until the end."""

    body_bytes: int
    seconds: float
    cpu_ns: int
    late_ns: int  # of the latest piece
    stalled: int  # pieces for which there was no room


def source_address(index: int) -> str:
    return f"127.3.{index >> 8}.{index & 255}"


def parts(order: DripOrder, index: int) -> tuple[int, int]:
    """Bytes of the two that come at once."""
    first = order.first_bytes * index // order.body.connections
    return first, first // 2


def begun(order: DripOrder, stack: ExitStack) -> list[socket.socket]:
    """All connections, with the parts that come at once.

    Raises:
        PerfError, OSError: one was refused.
    """
    body = bytes(order.first_bytes)
    found = []
    for index in range(order.body.connections):
        sock = socket.create_connection(
            ("127.0.0.1", order.body.port),
            bring.STALL_SECONDS,
            source_address=(source_address(index), 0),
        )
        found.append(stack.enter_context(sock))
        head = bring.created(order.body, sock, f"slow-{index}")
        sock.sendall(head + body[: parts(order, index)[0]])
    time.sleep(BETWEEN_PARTS_SECONDS)
    for index, sock in enumerate(found):
        sock.sendall(body[: parts(order, index)[1]])
        sock.setblocking(False)
    return found


class _Drips:
    def __init__(self, order: DripOrder, socks: Sequence[socket.socket]) -> None:
        self.order, self.socks = order, socks
        self.piece = bytes(order.piece_bytes)
        self.count = self.body_bytes = self.late_ns = self.stalled = 0
        self.began_ns, self.cpu_ns = time.monotonic_ns(), time.process_time_ns()

    def next_due_ns(self) -> int:
        since = self.count * self.order.period_ns // len(self.socks)
        return self.began_ns + since

    def send_due(self) -> None:
        """Raises PerfError: bodies came to their end."""
        now_ns = time.monotonic_ns()
        self.late_ns = max(self.late_ns, now_ns - self.next_due_ns())
        if self._most_sent() + len(self.piece) >= self.order.body.size_bytes:
            raise PerfError("they came to their end: they are too short")
        while self.next_due_ns() <= now_ns:
            self._send(self.socks[self.count % len(self.socks)])
            self.count += 1

    def _most_sent(self) -> int:
        """By one of them, at most."""
        at_once = sum(parts(self.order, len(self.socks)))
        return at_once + self.count // len(self.socks) * len(self.piece)

    def _send(self, sock: socket.socket) -> None:
        try:
            self.body_bytes += sock.send(self.piece)
        except BlockingIOError:
            self.stalled += 1

    def run(self) -> DripRun:
        return DripRun(
            body_bytes=self.body_bytes,
            seconds=(time.monotonic_ns() - self.began_ns) / 1e9,
            cpu_ns=time.process_time_ns() - self.cpu_ns,
            late_ns=self.late_ns,
            stalled=self.stalled,
        )


def drip(order: DripOrder, end: int, ready: Callable[[], None]) -> DripRun:
    """Until ``end`` can be read, or is closed; ``ready`` is called when all have begun.

    Raises:
        PerfError, OSError: the server has answered, or left, one of them.
    """
    raise_open_files()
    with ExitStack() as stack, select.epoll() as poller:
        socks = begun(order, stack)
        poller.register(end, select.EPOLLIN)
        by_fd = {sock.fileno(): sock for sock in socks}
        for fd in by_fd:
            poller.register(fd, select.EPOLLIN | select.EPOLLRDHUP)
        ready()
        drips = _Drips(order, socks)
        while True:
            wait_ns = drips.next_due_ns() - time.monotonic_ns()
            for fd, _ in poller.poll(max(wait_ns, 0) / 1e9):
                if fd == end:
                    return drips.run()
                raise PerfError(_last_words(by_fd[fd]))
            drips.send_due()


def _last_words(sock: socket.socket) -> str:
    words = b""
    with suppress(OSError):
        words = sock.recv(4096)
    said = words.decode(errors="replace")
    status, _, _ = said.partition("\r\n")
    _, _, why = said.partition("\r\n\r\n")
    return f"one was ended: {status or 'without an answer'} {why}".strip()


class Dripping:
    """The program, while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait_until_ready(self) -> None:
        """Raises PerfError: not all could be begun; with the reason."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != f"{READY}\n":
            self.end()

    def end(self) -> DripRun:
        """Raises PerfError: not all were there to this end; with the reason."""
        output, errors = self._process.communicate(timeout=END_SECONDS)
        if self._process.returncode != 0:
            raise PerfError(f"slow uploads: {errors.strip()}")
        return DripRun(**json.loads(output))


@contextmanager
def dripping(order: DripOrder, cpus: set[int]) -> Iterator[Dripping]:
    """Hold the uploads of the order from a process of its own, on ``cpus``, until they
    are ended or the block is.

    Raises:
        PerfError: they could not be begun.
    """
    process = apart.start("perf.load.drip", cpus, json.dumps(asdict(order)))
    try:
        found = Dripping(process)
        found.wait_until_ready()
        yield found
    finally:
        with process:  # which closes its pipes
            process.kill()


def _go_last() -> None:
    """On our core; where sessions are scheduled as groups, ours is what counts."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):  # sched(7): not every kernel has it
        Path("/proc/self/autogroup").write_text("19")


def _ready() -> None:
    _go_last()  # only now: a body is given up that brings nothing for long
    print(READY, flush=True)


def _work() -> dict[str, Any]:
    raw = json.loads(sys.argv[1])
    order = DripOrder(bring.BringOrder(**raw.pop("body")), **raw)
    return asdict(drip(order, sys.stdin.fileno(), _ready))


if __name__ == "__main__":
    sys.exit(apart.told(_work))
