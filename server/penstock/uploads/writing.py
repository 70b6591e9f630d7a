"""One request's range: received, checked, synced, recorded."""

import os

from penstock.uploads import digests, files, spans
from penstock.uploads.attempts import Attempt, server_ends
from penstock.uploads.depot import Depot
from penstock.uploads.model import (
    NO_FD,
    AttemptState,
    End,
    RefusedError,
    Reply,
    SessionState,
    Upload,
)
from penstock.uploads.receiving import Arrived, Reception
from penstock.uploads.states import AttemptEvent
from penstock.uploads.syncing import Checkpoints

SHA256 = "sha-256"
DIRECT_BYTES_MIN = 8 << 20  # of a range that need not be in the page cache


class Writing:
    """
    Args:
        digest: algorithm and value, of the whole range.
        exact: all or nothing, as with a digest.
    """

    def __init__(
        self,
        depot: Depot,
        upload: Upload,
        attempt: Attempt,
        digest: tuple[str, bytes] | None,
        *,
        exact: bool,
    ) -> None:
        self._depot = depot
        self._upload = upload
        self._attempt = attempt
        self._digest = digest
        self._whole = exact or digest is not None
        self._is_reserved = False

    async def run(self) -> None:
        """Raises RefusedError."""
        fd, direct_fd = await self._depot.open_both(
            self._upload, direct=self._may_pass_cache()
        )
        try:
            self._is_reserved = _is_reserved(fd, self._upload.length)
            await self._run(fd, direct_fd)
        finally:
            os.close(fd)
            if direct_fd != NO_FD:
                os.close(direct_fd)
            self._hold()

    def _may_pass_cache(self) -> bool:
        """What is digested is read again right away, and what is small may well be."""
        is_digested = self._digest is not None or self._upload.want
        n_bytes = self._attempt.end - self._attempt.start
        return not is_digested and n_bytes >= DIRECT_BYTES_MIN

    async def _run(self, fd: int, direct_fd: int) -> None:
        arrived = await self._receive(fd, direct_fd)
        self._depot.step("written")
        if self._whole:
            await self._check_length(arrived)
        if self._digest is not None:
            await self._check(fd, *self._digest)
        if arrived.position > self._attempt.start:
            await self._save(fd, arrived.position, self._reply(arrived))
        await self._end(arrived)

    async def _receive(self, fd: int, direct_fd: int) -> Arrived:
        checkpoints = Checkpoints(
            lambda position: self._save(fd, position, None, last=False)
        )
        checkpoint = None if self._whole else checkpoints.note
        null_fd = self._depot.null_fd
        reception = Reception(
            self._attempt, fd, direct_fd, null_fd, self._room, checkpoint
        )
        try:
            return await reception.receive(self._upload.spans, whole=self._whole)
        finally:
            await checkpoints.wait()

    def _room(self, position: int, n_bytes: int) -> int:
        """Of an upload without a length, what it holds grows as it arrives."""
        depot, upload = self._depot, self._upload
        if not self._is_reserved:
            n_bytes = min(n_bytes, depot.spare_bytes())
        if upload.length is not None:
            return n_bytes
        end = min(position + n_bytes, depot.space.most(upload.id, upload.owner))
        self._hold(end)
        return end - position

    def _hold(self, end: int = 0) -> None:
        upload = self._upload
        if upload.length is None and upload.state is SessionState.OPEN:
            n_bytes = max(end, spans.reach(upload.spans))
            self._depot.space.restore(upload.id, upload.owner, n_bytes)

    async def _check_length(self, arrived: Arrived) -> None:
        """Raises RefusedError: 400, the body is not as long as its range."""
        await self._end(arrived)
        if arrived.position < self._attempt.end:
            raise RefusedError(400, "the body ended before its range")
        has_ended = await self._attempt.intake.ended()
        if self._attempt.stopped:
            raise self._attempt.stopped
        if not has_ended:
            raise RefusedError(400, "the body goes on behind its range")

    async def _check(self, fd: int, algorithm: str, wanted: bytes) -> None:
        """Raises RefusedError: 422, the file has other bytes now."""
        start, end = self._attempt.start, self._attempt.end
        try:
            found = await self._depot.digests(fd, start, end, [algorithm])
        except (digests.ShortFileError, OSError) as error:
            why = f"can not be read: {error}"
            raise await self._depot.fail(self._upload, why) from None
        if digests.differing({algorithm: wanted}, found):
            raise RefusedError(422, f"the bytes have another {algorithm}")
        self._depot.step("checked")

    async def _save(
        self, fd: int, position: int, reply: Reply | None, *, last: bool = True
    ) -> None:
        start = self._attempt.start
        await self._depot.make_durable(
            self._upload, fd, start, position, reply, last=last
        )

    def _reply(self, arrived: Arrived) -> Reply | None:
        """None for a beginning only: a client will ask for more."""
        if arrived.position < self._attempt.end:
            return None
        algorithm, value = self._digest or ("", b"")
        known = value if algorithm == SHA256 else None
        return Reply(self._attempt.start, arrived.position, known)

    async def _end(self, arrived: Arrived) -> None:
        """Say what kept the rest away."""
        if arrived.end in (End.COMPLETE, End.MORE):
            return
        if self._attempt.state is AttemptState.ACTIVE:
            self._attempt.move(AttemptEvent.ABORT)
        if arrived.end is End.PREEMPTED:
            raise self._attempt.stopped or server_ends()
        if arrived.end is End.ERROR:
            if arrived.errno in files.BROKEN:
                why = f"can not be written: {os.strerror(arrived.errno)}"
                raise await self._depot.fail(self._upload, why)
            raise files.refusal_of(arrived.errno)


def _is_reserved(fd: int, length: int | None) -> bool:
    """The file system has put aside all of it: what else is full is no concern."""
    return length is not None and files.allocated_bytes(fd) >= length
