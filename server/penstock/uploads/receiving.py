"""A request's bytes into the gaps of a part: what is durable already stays as it is."""

import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from penstock.uploads import spans
from penstock.uploads.attempts import Attempt
from penstock.uploads.model import NO_FD, End

# Durable at least every so many bytes: that is what a client sends again after a crash,
# and twice that is dirty in memory. A disk writes it in less than a second. Of who is
# slow, also what came in ``attempts.CHECKPOINT_SECONDS``.
CHECKPOINT_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Arrived:
    position: int  # up to which all is in the file
    end: End
    errno: int = 0


@dataclass(frozen=True, slots=True)
class Reception:
    """Where bytes go.

    Attributes:
        fd: of the part.
        direct_fd: as ``Intake.receive`` takes it.
        null_fd: for bytes that are durable already, which are thrown away.
        room: how many bytes, of so many from a position on, there is room for.
        checkpoint: called with the position every CHECKPOINT_BYTES, and when the
            attempt is asked for it; None: all or nothing.
    """

    attempt: Attempt
    fd: int
    direct_fd: int
    null_fd: int
    room: Callable[[int, int], int]
    checkpoint: Callable[[int], Awaitable[None]] | None

    async def receive(self, durable: spans.Spans, *, whole: bool) -> Arrived:
        """Until no more comes, or all has come.

        Args:
            whole: also what is durable behind the last gap, which need not come.
        """
        attempt = self.attempt
        pieces = list(spans.pieces(durable, attempt.start, attempt.end))
        while pieces and pieces[-1][2] and not whole:
            pieces.pop()
        attempt.in_pieces = self.checkpoint is not None
        try:
            return await self._receive_all(pieces)
        finally:
            attempt.in_pieces = False

    async def _receive_all(self, pieces: Sequence[tuple[int, int, bool]]) -> Arrived:
        position = noted = self.attempt.start
        for _, end, covered in pieces:
            while position < end:
                arrived, is_over = await self._receive(position, end, covered=covered)
                if is_over:
                    return arrived
                position = arrived.position
                noted = await self._note(position, noted)
        return Arrived(self.attempt.end, End.MORE)

    async def _note(self, position: int, noted: int) -> int:
        """Up to where there was a checkpoint."""
        attempt = self.attempt
        is_due = attempt.at_checkpoint or position - noted >= CHECKPOINT_BYTES
        if self.checkpoint is None or not is_due:
            return noted
        if position > noted:
            with attempt.hold():
                await self.checkpoint(position)
        attempt.noted(came=position > noted)
        return position

    async def _receive(
        self, position: int, end: int, *, covered: bool
    ) -> tuple[Arrived, bool]:
        """Once, and whether that was all."""
        if self.attempt.stopped:
            return Arrived(position, End.PREEMPTED), True
        most = min(end - position, CHECKPOINT_BYTES)
        if not covered:
            most = min(most, self.room(position, most))
        if most <= 0:
            return Arrived(position, End.ERROR, errno.ENOSPC), True
        intake, hold = self.attempt.intake, self.attempt.hold
        fd, direct_fd = (self.null_fd, NO_FD) if covered else (self.fd, self.direct_fd)
        got = await intake.receive(fd, position, most, direct_fd, hold)
        arrived = Arrived(position + got.n_bytes, got.end, got.errno)
        return arrived, not self._goes_on(got.end)

    def _goes_on(self, end: End) -> bool:
        if end is End.PREEMPTED:
            return self.attempt.at_checkpoint and not self.attempt.stopped
        return end is End.MORE
