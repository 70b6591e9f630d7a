"""What happened lately, for those who watch: changes of limits, and why.

A ring of the last events. A reader holds only the number of the event that it saw last,
so that one that is slow costs nothing: it misses what left the ring meanwhile, and is
told how much that was.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

import trio

EVENTS_KEPT = 1024  # some minutes of a busy server; less than half a megabyte
Scalar = str | int | float | bool | None


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class Event(NamedTuple):
    """
    Args:
        number: grows by one with each event of this process; above all of those before.
        kind: like ``limit``, ``config``, ``schedule``.
        subject: ``client:ID``, ``group:NAME``, ``default`` or ``server``.
        numbers: what there is to say of it; None: no limit.
    """

    number: int
    kind: str
    time: datetime
    subject: str
    numbers: dict[str, Scalar]

    def data(self) -> dict[str, Scalar]:
        """As JSON has it, where no number is infinite."""
        shown = {
            name: None if isinstance(n, float) and not math.isfinite(n) else n
            for name, n in self.numbers.items()
        }
        return {"time": rfc3339(self.time), "subject": self.subject, **shown}


class EventLog:
    """Everything is called from the Trio thread.

    Args:
        start: the number before that of the first event.

    Attributes:
        last: number of the newest event.
    """

    def __init__(
        self,
        kept: int = EVENTS_KEPT,
        clock: Callable[[], datetime] = _wall_clock,
        start: int = 0,
    ) -> None:
        self._ring: deque[Event] = deque(maxlen=kept)
        self.clock = clock
        self._news = trio.Event()
        self.start = start
        self.last = start
        self.closed = False

    def publish(self, kind: str, subject: str, **numbers: Scalar) -> None:
        """Tell everybody who watches; never waits, and costs microseconds."""
        self.last += 1
        self._ring.append(Event(self.last, kind, self.clock(), subject, numbers))
        self._wake()

    def after(self, number: int) -> list[Event]:
        """Those with a higher number, of those that are kept; oldest first."""
        new = min(self.last - number, len(self._ring))
        return list(islice(self._ring, len(self._ring) - new, None)) if new > 0 else []

    @property
    def lost(self) -> int:
        """Number of the newest that is not kept any more."""
        return self.last - len(self._ring)

    def knows(self, number: int) -> bool:
        """False: it is of another process."""
        return self.start <= number <= self.last

    async def wait_after(self, number: int) -> None:
        """Until there is an event with a higher number, or there will be no more."""
        while self.last <= number and not self.closed:
            await self._news.wait()

    def close(self) -> None:
        """Nobody is to wait for more: the server ends."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


def start_number() -> int:
    """Milliseconds since 1970: no process before this one has told so many events."""
    return time.time_ns() // 1_000_000


def rfc3339(moment: datetime) -> str:
    """UTC, in milliseconds: RFC 3339, section 5.6."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
