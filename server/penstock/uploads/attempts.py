"""The requests that bring bytes right now; of two that want the same ones, the newer.

The older may wait for a client that is gone: it is stopped, and what it brought is
durable before the newer one begins, which therefore never writes over it.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from penstock.uploads.model import AttemptState, Intake, RefusedError
from penstock.uploads.states import AttemptEvent, next_attempt

PREEMPT_SECONDS = 2.0  # for an older one to end


@dataclass(slots=True, eq=False)
class Attempt:
    start: int
    end: int
    intake: Intake
    state: AttemptState = AttemptState.IDLE
    is_preempted: bool = False
    ended: trio.Event = field(default_factory=trio.Event)

    def move(self, event: AttemptEvent) -> None:
        self.state = next_attempt(self.state, event)

    def preempt(self) -> None:
        self.is_preempted = True
        if self.state in (AttemptState.ACTIVE, AttemptState.PAUSED):
            self.intake.stop()

    def overlaps(self, start: int, end: int) -> bool:
        return self.start < end and start < self.end


class Attempts:
    """By upload."""

    def __init__(self) -> None:
        self._running: dict[str, list[Attempt]] = {}

    @asynccontextmanager
    async def begin(
        self, upload_id: str, start: int, end: int, intake: Intake
    ) -> AsyncIterator[Attempt]:
        """Active in the block, and completed after it, unless it raises or aborts.
        A newer one may have come already.

        Raises:
            RefusedError: 409, an older one does not end.
        """
        attempt = Attempt(start, end, intake)
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

    async def settle(self, upload_id: str) -> None:
        """End all, so that what they brought is known.

        Raises:
            RefusedError: 409, they do not end.
        """
        await _end(self._running.get(upload_id, ()))


async def _end(attempts: Iterable[Attempt]) -> None:
    waiting = list(attempts)
    for attempt in waiting:
        attempt.preempt()
    with trio.move_on_after(PREEMPT_SECONDS):
        for attempt in waiting:
            await attempt.ended.wait()
    if not all(attempt.ended.is_set() for attempt in waiting):
        raise RefusedError(409, "another request for these bytes is being ended")


def preempted() -> RefusedError:
    return RefusedError(409, "a newer request for these bytes took its place")
