"""How fast a client may upload, over all its connections on all engines.

A token bucket for each client, in virtual time as the engine's: a number that says when
it is empty. A body is ordered from the engine in pieces, each of which is paid for
before; while nothing is ordered nothing is received, and the client's window closes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import trio

from penstock.durations import SECOND_NS
from penstock.uploads.model import NO_FD, End, Head, Hold, Intake, Received

DEPTH_NS = 2 * SECOND_NS  # of its rate, a bucket holds at most
PIECES_PER_SECOND = 20
PIECE_BYTES_MIN = 16_384
PIECE_BYTES_MAX = 8 << 20
BUCKETS_MAX = 10_000  # clients whose bucket is not full; then full ones are forgotten
RECHECK_S = 0.1  # a wait looks again: the rate may be another one

RateOf = Callable[[str], int | None]
"""Of a client, in bytes per second; None: no limit."""
Clock = Callable[[], int]
"""Nanoseconds, monotonic."""


class UploadBucket:
    """Begins empty, so that a new name is no way to a burst."""

    __slots__ = ("_empty_ns",)

    def __init__(self, now_ns: int) -> None:
        self._empty_ns = now_ns

    def take(self, n_bytes: int, rate_bps: int, now_ns: int) -> int:
        """0: charged, on a debt of ``n_bytes`` at most. Else it is in debt for so many
        nanoseconds, and nothing was charged."""
        if self._empty_ns > now_ns:
            return self._empty_ns - now_ns
        at = max(self._empty_ns, now_ns - DEPTH_NS)
        self._empty_ns = at + n_bytes * SECOND_NS // rate_bps
        return 0

    def refund(self, n_bytes: int, rate_bps: int) -> None:
        self._empty_ns -= n_bytes * SECOND_NS // rate_bps

    def is_full(self, now_ns: int) -> bool:
        return self._empty_ns <= now_ns - DEPTH_NS


def piece_bytes(rate_bps: int) -> int:
    """What is ordered at once at this rate."""
    return min(max(rate_bps // PIECES_PER_SECOND, PIECE_BYTES_MIN), PIECE_BYTES_MAX)


class Pacer:
    def __init__(self, rate_of: RateOf, clock: Clock) -> None:
        self._rate_of = rate_of
        self._clock = clock
        self._buckets: dict[str, UploadBucket] = {}

    def paced(self, intake: Intake) -> Intake:
        return PacedIntake(intake, self)

    def rate_of(self, client_id: str) -> int | None:
        return self._rate_of(client_id)

    def take(self, client_id: str, n_bytes: int, rate_bps: int) -> int:
        """As ``UploadBucket.take``."""
        now_ns = self._clock()
        bucket = self._buckets.get(client_id)
        if bucket is None:
            self._make_room(now_ns)
            bucket = self._buckets[client_id] = UploadBucket(now_ns)
        return bucket.take(n_bytes, rate_bps, now_ns)

    def refund(self, client_id: str, n_bytes: int, rate_bps: int) -> None:
        bucket = self._buckets.get(client_id)
        if bucket is not None:
            bucket.refund(n_bytes, rate_bps)

    def _make_room(self, now_ns: int) -> None:
        """A full bucket and a new one differ by the burst, which nobody is owed."""
        if len(self._buckets) < BUCKETS_MAX:
            return
        full = [name for name, b in self._buckets.items() if b.is_full(now_ns)]
        for name in full or [next(iter(self._buckets))]:
            del self._buckets[name]


class PacedIntake:
    """An intake that orders no more than its client has tokens for."""

    head: Head

    def __init__(self, intake: Intake, pacer: Pacer) -> None:
        self.head = intake.head
        self._intake = intake
        self._pacer = pacer
        self._stopped = trio.Event()

    async def receive(
        self,
        fd: int,
        offset: int,
        most_bytes: int,
        direct_fd: int = NO_FD,
        hold: Hold = nullcontext,
    ) -> Received:
        done = 0
        self._stopped = trio.Event()
        while True:
            n_bytes, rate_bps = await self._paid(most_bytes - done, hold)
            if self._stopped.is_set():
                self._give_back(n_bytes, rate_bps)
                return Received(done, End.PREEMPTED)
            at = offset + done
            found = await self._intake.receive(fd, at, n_bytes, direct_fd)
            self._give_back(n_bytes - found.n_bytes, rate_bps)
            done += found.n_bytes
            if found.end is not End.MORE or done >= most_bytes:
                return Received(done, found.end, found.errno)

    async def ended(self) -> bool:
        return await self._intake.ended()

    async def respond(
        self, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        await self._intake.respond(status, fields, body)

    def stop(self) -> None:
        self._stopped.set()
        self._intake.stop()

    async def _paid(self, most_bytes: int, hold: Hold) -> tuple[int, int | None]:
        """What may be ordered now, and the rate at which it was paid for."""
        client_id = self.head.client_id
        while True:
            rate_bps = self._pacer.rate_of(client_id)
            if rate_bps is None or most_bytes == 0:
                return most_bytes, None
            n_bytes = min(most_bytes, piece_bytes(rate_bps))
            wait_ns = self._pacer.take(client_id, n_bytes, rate_bps)
            if wait_ns == 0:
                return n_bytes, rate_bps
            with hold(), trio.move_on_after(min(wait_ns / SECOND_NS, RECHECK_S)):
                await self._stopped.wait()
                return 0, None

    def _give_back(self, n_bytes: int, rate_bps: int | None) -> None:
        if rate_bps is not None and n_bytes:
            self._pacer.refund(self.head.client_id, n_bytes, rate_bps)
