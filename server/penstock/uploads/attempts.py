"""The requests that bring bytes right now; of two that want the same ones, the newer.

The older may wait for a client that is gone: it is stopped, and what it brought is
durable before the newer one begins, which therefore never writes over it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from penstock.uploads.model import AttemptState, Intake, RefusedError
from penstock.uploads.states import AttemptEvent, next_attempt

PREEMPT_SECONDS = 2.0  # for an older one to end
RETRY_SECONDS = 5  # when a server that ends may be back
# What has come is durable at least so often, however slowly it comes; the ticks that
# lead to that are within it.
CHECKPOINT_SECONDS: Final = 30.0
TICK_SECONDS: Final = 1.0
_GOLDEN: Final = 0.618034  # its multiples, modulo 1, are spread evenly


@dataclass(slots=True, eq=False)
class Attempt:
    """
    Attributes:
        counts: of all attempts, by state; this one is in it.
        stopped: it brings no more, and is answered this.
        in_pieces: what has come can be made durable while more comes.
        due: when that is next, if it was said.
        is_quiet: nothing had come the last time.
        at_checkpoint: its order is stopped for that, and another one goes on.
    """

    start: int
    end: int
    intake: Intake
    counts: Counter[str]
    state: AttemptState = AttemptState.IDLE
    stopped: RefusedError | None = None
    in_pieces: bool = False
    due: float | None = None
    is_quiet: bool = False
    at_checkpoint: bool = False
    ended: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.counts[self.state] += 1

    def move(self, event: AttemptEvent) -> None:
        after = next_attempt(self.state, event)
        self.counts[self.state] -= 1
        self.counts[after] += 1
        self.state = after

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Paused in the block: its client may not send now."""
        self.move(AttemptEvent.PAUSE)
        try:
            yield
        finally:
            self.move(AttemptEvent.RESUME)

    def stop(self, why: RefusedError) -> None:
        self.stopped = self.stopped or why
        if self.state in (AttemptState.ACTIVE, AttemptState.PAUSED):
            self.intake.stop()

    def tick(self, now: float, after: float, after_quiet: float) -> None:
        """Ask for a checkpoint, if it is time for one."""
        if not self.in_pieces or self.stopped:
            return
        if self.due is None:
            self.due = now + (after_quiet if self.is_quiet else after)
        elif self.due <= now and not self.at_checkpoint:
            self.at_checkpoint = True
            self.intake.stop()

    def noted(self, *, came: bool) -> None:
        """There was one, for which something had come or not."""
        self.due = None
        self.at_checkpoint = False
        self.is_quiet = not came

    def overlaps(self, start: int, end: int) -> bool:
        return self.start < end and start < self.end


class Attempts:
    """By upload.

    Args:
        counts: of attempts by state, those that have ended included.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._running: dict[str, list[Attempt]] = {}
        self._counts = counts
        self._stopped = False
        self._phase = 0.0

    @asynccontextmanager
    async def begin(
        self, upload_id: str, start: int, end: int, intake: Intake
    ) -> AsyncIterator[Attempt]:
        """Active in the block, and completed after it, unless it raises or aborts.
        A newer one may have come already.

        Raises:
            RefusedError: 409, an older one does not end; 503, the server does.
        """
        if self._stopped:
            raise server_ends()
        attempt = Attempt(start, end, intake, self._counts)
        running = self._running.setdefault(upload_id, [])
        older = [one for one in running if one.overlaps(start, end)]
        running.append(attempt)
        try:
            await _end(older)
            attempt.move(AttemptEvent.START)
            yield attempt
            if attempt.state is AttemptState.ACTIVE:
                attempt.move(AttemptEvent.COMPLETE)
        finally:
            if attempt.state not in (AttemptState.COMPLETED, AttemptState.ABORTED):
                attempt.move(AttemptEvent.ABORT)
            running.remove(attempt)
            if not running and self._running.get(upload_id) is running:
                del self._running[upload_id]
            attempt.ended.set()

    def are_running(self, upload_id: str) -> bool:
        return upload_id in self._running

    async def settle(self, upload_id: str, *, beyond: int = 0) -> None:
        """End all that may bring bytes behind ``beyond``, so that what they brought is
        known.

        Raises:
            RefusedError: 409, they do not end.
        """
        running = self._running.get(upload_id, ())
        await _end(one for one in running if one.end > beyond)

    def tick(self, now: float, patience: float) -> None:
        """Let those that had no checkpoint for long have one: spread, so that those
        that began together are not synced together.

        Args:
            patience: with who brings nothing, of engines, who count anew with each
                order; so they get none before that is over.
        """
        longest = CHECKPOINT_SECONDS - 2 * TICK_SECONDS
        after_quiet = max(longest, patience + TICK_SECONDS)
        for running in self._running.values():
            for attempt in running:
                self._phase = (self._phase + _GOLDEN) % 1
                attempt.tick(now, longest * (1 - self._phase / 2), after_quiet)

    def stop(self) -> None:
        """The server ends: no more is received, and what has come is made durable."""
        self._stopped = True
        for running in self._running.values():
            for attempt in running:
                attempt.stop(server_ends())


async def _end(attempts: Iterable[Attempt]) -> None:
    waiting = list(attempts)
    for attempt in waiting:
        attempt.stop(preempted())
    with trio.move_on_after(PREEMPT_SECONDS):
        for attempt in waiting:
            await attempt.ended.wait()
    if not all(attempt.ended.is_set() for attempt in waiting):
        raise RefusedError(409, "another request for these bytes is being ended")


def preempted() -> RefusedError:
    return RefusedError(409, "a newer request for these bytes took its place")


def server_ends() -> RefusedError:
    return RefusedError(
        503,
        "the server ends; what has come of uploads is kept: go on when it is back",
        [("Retry-After", str(RETRY_SECONDS))],
    )
