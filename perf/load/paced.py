"""Many paced downloads from many addresses, counted in slots of time by address.

Nothing is read when it arrives: every tick whatever has come in is taken off all
connections. One turn of epoll serves thousands, so that Python is fast enough, and a
turn at every slot's end makes the slots exact. The kernel drops the bytes without
copying them (MSG_TRUNC, tcp(7)).

A reader may have a rate of its own, for servers that have none: then it takes what is
due to it and leaves the rest to the kernel, which stops the sender.

The interval is fixed beforehand on the clock that all processes share, so that whoever
ordered it can account for the server's work in the same interval.
"""

import select
import socket
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perf.errors import PerfError
from perf.load import apart
from perf.load.http import ask, get, some, split_head

TICK_NS = 10_000_000
SLOT_NS = 100_000_000
DOWNLOADS_MAX = 1 << 16
"""The addresses of one /16; penstock remembers no more clients either."""
READS_PER_SECOND = ((40, 65_536), (20, 16_384), (10, 16_384), (4, 16_384))
"""Of a reader with a rate of its own, and the least bytes of each; else 2. As often as
penstock sends to a limited one (pyx/bucket.pxd): it would be no fair comparison if one
of them had more to do."""
_READ_BYTES = 1 << 20
_CONNECT_SECONDS = 5.0
_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pause:
    """When one address has no downloads, in nanoseconds since ``begin_ns``."""

    address: int
    from_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class PacedOrder:
    port: int
    path: str
    downloads: int
    ramp_ns: int  # over which they are begun, evenly
    begin_ns: int  # of the counted interval, CLOCK_MONOTONIC
    slots: int
    slot_ns: int = SLOT_NS
    tick_ns: int = TICK_NS
    addresses: int = 0
    """From how many addresses: download n comes from address n modulo this one.
    0: every download has an address of its own."""
    host: str = "127.0.0.1"
    network: str = "127.1"  # of the readers, a /16 of local addresses
    read_bps: int = 0
    """The rate at which every reader takes bytes; 0: whatever has arrived."""
    pauses: Sequence[Pause] = ()

    def rows(self) -> int:
        return self.addresses or self.downloads


@dataclass(frozen=True, slots=True)
class PacedRun:
    slots: Sequence[Sequence[int]]
    """Body bytes of each address in each slot."""
    cpu_ns: int  # of this process within the interval
    late_ns: int  # the latest turn within the interval


def source_address(index: int, network: str = "127.1") -> str:
    """The index-th address of a /16."""
    return f"{network}.{index >> 8}.{index & 255}"


class Downloads:
    """All of them, by number, and what each address received in each slot."""

    def __init__(self, order: PacedOrder) -> None:
        self._order = order
        self._request = get(order.path)
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._numbers: dict[int, int] = {}  # by file descriptor
        self._heads: dict[int, bytes] = {}  # that are not complete, by number
        self._scratch = bytearray(_READ_BYTES)
        self._rows = order.rows()
        self.received = array("Q", bytes(8 * self._rows * order.slots))

    def __len__(self) -> int:
        return len(self._sockets)

    def begin(self, number: int) -> None:
        """Raises OSError: it could not connect."""
        order = self._order
        sock = socket.create_connection(
            (order.host, order.port),
            _CONNECT_SECONDS,
            source_address=(source_address(number % self._rows, order.network), 0),
        )
        self._sockets[number] = sock
        sock.setblocking(False)
        ask(sock, self._request)
        self._heads[number] = b""
        self._numbers[sock.fileno()] = number
        self._poll.register(sock, select.EPOLLIN)

    def of_address(self, address: int) -> range:
        """The numbers of its downloads."""
        return range(address, self._order.downloads, self._rows)

    def end(self, number: int) -> None:
        self._sockets.pop(number).close()
        self._heads.pop(number, None)

    def take(self, slot: int | None) -> None:
        """Everything that has arrived; counted where there is a slot.

        Raises:
            PerfError: a response was not a success, or ended.
        """
        for fd, _ in self._poll.poll(0, max(1, len(self._sockets))):
            number = self._numbers[fd]
            self._count(number, self.read(number, _READ_BYTES), slot)

    def _count(self, number: int, count: int, slot: int | None) -> None:
        if slot is not None:
            row = number % self._rows
            self.received[row * self._order.slots + slot] += count

    def read(self, number: int, most: int) -> int:
        """Body bytes that are taken off a connection on which something arrived.

        Raises:
            PerfError: as ``take``.
            BlockingIOError: nothing had arrived.
        """
        sock = self._sockets[number]
        if number in self._heads:
            return self._take_head(number, sock)
        count = sock.recv_into(self._scratch, most, socket.MSG_TRUNC)
        if count == 0:
            raise PerfError(f"download {number + 1} ended too early")
        return count

    def _take_head(self, number: int, sock: socket.socket) -> int:
        self._heads[number] += some(sock)
        parts = split_head(self._heads[number])
        if parts is None:
            return 0
        del self._heads[number]
        return parts[1]

    def close(self) -> None:
        self._poll.close()
        for sock in self._sockets.values():
            sock.close()


class SlowDownloads(Downloads):
    """Their readers take bytes at a rate, whatever the server would send."""

    def __init__(self, order: PacedOrder) -> None:
        super().__init__(order)
        self._taken: dict[int, int] = {}
        self._begun_ns: dict[int, int] = {}
        self._turns = turns(order.read_bps, order.tick_ns)
        self._turn = 0

    def begin(self, number: int) -> None:
        super().begin(number)
        self._taken[number] = 0
        self._begun_ns[number] = time.monotonic_ns()

    def take(self, slot: int | None) -> None:
        """What is due to those whose turn it is."""
        self._turn = (self._turn + 1) % self._turns
        now_ns, rate_bps = time.monotonic_ns(), self._order.read_bps
        for number in range(self._turn, len(self), self._turns):
            due = (now_ns - self._begun_ns[number]) * rate_bps // 10**9
            most = min(due - self._taken[number], _READ_BYTES)
            if most <= 0:
                continue
            try:
                count = self.read(number, most)
            except BlockingIOError:
                continue
            self._taken[number] += count
            self._count(number, count, slot)


def turns(read_bps: int, tick_ns: int) -> int:
    """In every how many ticks a reader of that rate reads once."""
    reads = next((n for n, least in READS_PER_SECOND if read_bps >= n * least), 2)
    return max(1, round(10**9 / (reads * tick_ns)))


def download(order: PacedOrder) -> PacedRun:
    """Carry out the order in this process.

    Raises:
        PerfError: a response was not a success or ended, or not all downloads could
            be begun before the interval.
        OSError: a connection failed.
    """
    downloads = SlowDownloads(order) if order.read_bps else Downloads(order)
    try:
        _ramp(downloads, order)
        cpu_ns, late_ns = _interval(downloads, order)
    finally:
        downloads.close()
    width, received = order.slots, downloads.received
    slots = [
        received[n * width : (n + 1) * width].tolist() for n in range(order.rows())
    ]
    return PacedRun(slots, cpu_ns, late_ns)


def _ramp(downloads: Downloads, order: PacedOrder) -> None:
    start_ns = tick_ns = time.monotonic_ns()
    while tick_ns < order.begin_ns:
        share = (tick_ns - start_ns) / order.ramp_ns
        due = min(order.downloads, int(share * order.downloads) + 1)
        while len(downloads) < due:
            downloads.begin(len(downloads))
        downloads.take(None)
        tick_ns = min(_next(tick_ns, start_ns, order.tick_ns), order.begin_ns)
        sleep_until(tick_ns)
    if len(downloads) < order.downloads:
        raise PerfError(
            f"only {len(downloads)} of {order.downloads} downloads were begun in time"
        )
    downloads.take(None)


def _interval(downloads: Downloads, order: PacedOrder) -> tuple[int, int]:
    """CPU that was used, and how late the latest turn was, in nanoseconds."""
    cpu_start_ns, late_ns = time.process_time_ns(), 0
    tick_ns, end_ns = order.begin_ns, order.begin_ns + order.slots * order.slot_ns
    changes = list(_changes(order))
    while tick_ns < end_ns:
        tick_ns = min(_next(tick_ns, order.begin_ns, order.tick_ns), end_ns)
        sleep_until(tick_ns)
        late_ns = max(late_ns, time.monotonic_ns() - tick_ns)
        # What is read at a slot's end arrived in the slot that ends.
        downloads.take((tick_ns - 1 - order.begin_ns) // order.slot_ns)
        while changes and changes[0][0] <= tick_ns:
            _, address, begins = changes.pop(0)
            for number in downloads.of_address(address):
                downloads.begin(number) if begins else downloads.end(number)
    return time.process_time_ns() - cpu_start_ns, late_ns


def _changes(order: PacedOrder) -> Iterator[tuple[int, int, bool]]:
    """When, which address, and whether its downloads begin or end; in time's order."""
    found = []
    for pause in order.pauses:
        found.append((order.begin_ns + pause.from_ns, pause.address, False))
        found.append((order.begin_ns + pause.until_ns, pause.address, True))
    yield from sorted(found)


def _next(tick_ns: int, origin_ns: int, width_ns: int) -> int:
    """The first tick after the last one that has not passed by more than a tick."""
    passed = max(tick_ns, time.monotonic_ns() - width_ns) - origin_ns
    return origin_ns + (passed // width_ns + 1) * width_ns


def sleep_until(until_ns: int) -> None:
    left_ns = until_ns - time.monotonic_ns()
    if left_ns > 0:
        time.sleep(left_ns / 1e9)


def run(order: PacedOrder, cpus: set[int]) -> PacedRun:
    """Carry out the order in a process of its own on ``cpus``.

    Raises:
        PerfError: it failed; with its reason.
    """
    until_ns = order.begin_ns + order.slots * order.slot_ns
    seconds = (until_ns - time.monotonic_ns()) / 1e9 + _GRACE_SECONDS
    return PacedRun(**apart.run("perf.load.paced", asdict(order), cpus, seconds))


def _order(fields: dict[str, Any]) -> PacedOrder:
    pauses = [Pause(**pause) for pause in fields.pop("pauses")]
    return PacedOrder(**fields, pauses=pauses)


if __name__ == "__main__":
    sys.exit(apart.answer(lambda fields: asdict(download(_order(fields)))))
