"""Many paced downloads, each from an address of its own, counted in slots of time.

Nothing is read when it arrives: every ``TICK_NS`` whatever has come in is taken off all
connections. One turn of epoll serves thousands, so that Python is fast enough, and a
turn at every slot's end makes the slots exact. The kernel drops the bytes without
copying them (MSG_TRUNC, tcp(7)).

The interval is fixed beforehand on the clock that all processes share, so that whoever
ordered it can account for the server's work in the same interval.
"""

import select
import socket
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from perf.errors import PerfError
from perf.load import apart
from perf.load.http import ask, get, some, split_head

TICK_NS = 10_000_000
SLOT_NS = 100_000_000
DOWNLOADS_MAX = 1 << 16
"""The addresses of 127.1.0.0/16; penstock remembers no more clients either."""
_READ_BYTES = 1 << 20
_CONNECT_SECONDS = 5.0
_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PacedOrder:
    port: int
    path: str
    downloads: int
    ramp_ns: int  # over which they are begun, evenly
    begin_ns: int  # of the counted interval, CLOCK_MONOTONIC
    slots: int  # of SLOT_NS each


@dataclass(frozen=True, slots=True)
class PacedRun:
    slots: Sequence[Sequence[int]]
    """Body bytes of each download in each slot."""
    cpu_ns: int  # of this process within the interval
    late_ns: int  # the latest turn within the interval


def source_address(index: int) -> str:
    """The loopback address from which the index-th download comes."""
    return f"127.1.{index >> 8}.{index & 255}"


class Downloads:
    """All of them, by number, and what each received in each slot."""

    def __init__(self, order: PacedOrder) -> None:
        self._order = order
        self._request = get(order.path)
        self._poll = select.epoll()
        self._sockets: list[socket.socket] = []
        self._numbers: dict[int, int] = {}  # by file descriptor
        self._heads: dict[int, bytes] = {}  # that are not complete, by number
        self._scratch = bytearray(_READ_BYTES)
        self.received = array("Q", bytes(8 * order.downloads * order.slots))

    def __len__(self) -> int:
        return len(self._sockets)

    def begin_one(self) -> None:
        """Raises OSError: it could not connect."""
        number = len(self._sockets)
        sock = socket.create_connection(
            ("127.0.0.1", self._order.port),
            _CONNECT_SECONDS,
            source_address=(source_address(number), 0),
        )
        self._sockets.append(sock)
        sock.setblocking(False)
        ask(sock, self._request)
        self._heads[number] = b""
        self._numbers[sock.fileno()] = number
        self._poll.register(sock, select.EPOLLIN)

    def take(self, slot: int | None) -> None:
        """Everything that has arrived; counted where there is a slot.

        Raises:
            PerfError: a response was not a success, or ended.
        """
        slots, heads, received = self._order.slots, self._heads, self.received
        for fd, _ in self._poll.poll(0, max(1, len(self._sockets))):
            number = self._numbers[fd]
            sock = self._sockets[number]
            if number in heads:
                count = self._take_head(number, sock)
            else:
                count = sock.recv_into(self._scratch, _READ_BYTES, socket.MSG_TRUNC)
                if count == 0:
                    raise PerfError(f"download {number + 1} ended too early")
            if slot is not None:
                received[number * slots + slot] += count

    def _take_head(self, number: int, sock: socket.socket) -> int:
        self._heads[number] += some(sock)
        parts = split_head(self._heads[number])
        if parts is None:
            return 0
        del self._heads[number]
        return parts[1]

    def close(self) -> None:
        self._poll.close()
        for sock in self._sockets:
            sock.close()


def download(order: PacedOrder) -> PacedRun:
    """Carry out the order in this process.

    Raises:
        PerfError: a response was not a success or ended, or not all downloads could
            be begun before the interval.
        OSError: a connection failed.
    """
    downloads = Downloads(order)
    try:
        _ramp(downloads, order)
        cpu_ns, late_ns = _interval(downloads, order)
    finally:
        downloads.close()
    rows, received = order.slots, downloads.received
    slots = [
        received[n * rows : (n + 1) * rows].tolist() for n in range(order.downloads)
    ]
    return PacedRun(slots, cpu_ns, late_ns)


def _ramp(downloads: Downloads, order: PacedOrder) -> None:
    start_ns = tick_ns = time.monotonic_ns()
    while tick_ns < order.begin_ns:
        share = (tick_ns - start_ns) / order.ramp_ns
        due = min(order.downloads, int(share * order.downloads) + 1)
        while len(downloads) < due:
            downloads.begin_one()
        downloads.take(None)
        tick_ns = min(_next(tick_ns, start_ns), order.begin_ns)
        sleep_until(tick_ns)
    if len(downloads) < order.downloads:
        raise PerfError(
            f"only {len(downloads)} of {order.downloads} downloads were begun in time"
        )
    downloads.take(None)


def _interval(downloads: Downloads, order: PacedOrder) -> tuple[int, int]:
    """CPU that was used, and how late the latest turn was, in nanoseconds."""
    cpu_start_ns, late_ns = time.process_time_ns(), 0
    tick_ns, end_ns = order.begin_ns, order.begin_ns + order.slots * SLOT_NS
    while tick_ns < end_ns:
        tick_ns = min(_next(tick_ns, order.begin_ns), end_ns)
        sleep_until(tick_ns)
        late_ns = max(late_ns, time.monotonic_ns() - tick_ns)
        # What is read at a slot's end arrived in the slot that ends.
        downloads.take((tick_ns - 1 - order.begin_ns) // SLOT_NS)
    return time.process_time_ns() - cpu_start_ns, late_ns


def _next(tick_ns: int, origin_ns: int) -> int:
    """The first tick after the last one that has not passed by more than a tick."""
    passed = max(tick_ns, time.monotonic_ns() - TICK_NS) - origin_ns
    return origin_ns + (passed // TICK_NS + 1) * TICK_NS


def sleep_until(until_ns: int) -> None:
    left_ns = until_ns - time.monotonic_ns()
    if left_ns > 0:
        time.sleep(left_ns / 1e9)


def run(order: PacedOrder, cpus: set[int]) -> PacedRun:
    """Carry out the order in a process of its own on ``cpus``.

    Raises:
        PerfError: it failed; with its reason.
    """
    until_ns = order.begin_ns + order.slots * SLOT_NS
    seconds = (until_ns - time.monotonic_ns()) / 1e9 + _GRACE_SECONDS
    return PacedRun(**apart.run("perf.load.paced", asdict(order), cpus, seconds))


if __name__ == "__main__":
    sys.exit(apart.answer(lambda order: asdict(download(PacedOrder(**order)))))
