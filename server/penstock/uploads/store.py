"""Sessions and their files: ``model.Store`` on a file system and a ledger.

The order, always: data in the file, fdatasync, the ledger's commit, the answer. See
``publishing`` for the end of an upload, ``recovery`` for the start after a crash.
"""

import errno
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import trio

from penstock.uploads import files, publishing, recovery, sizing, spans
from penstock.uploads.attempts import Attempts
from penstock.uploads.depot import Depot
from penstock.uploads.digests import ShortFileError
from penstock.uploads.joining import copy_parts
from penstock.uploads.model import Intake, RefusedError, Reply, SessionState, Upload
from penstock.uploads.names import names_of
from penstock.uploads.parts import LostPartError, part_name
from penstock.uploads.space import StoreLimits
from penstock.uploads.states import SessionEvent
from penstock.uploads.writing import Writing


def _no_step(_: str) -> None:
    """Tests end the process there."""


class FileStore:
    """A ``model.Store``. Made by ``opened``."""

    def __init__(self, depot: Depot, attempts: Attempts) -> None:
        self._depot = depot
        self._attempts = attempts

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        root: Path,
        folder: Path,
        limits: StoreLimits,
        *,
        past_cache: bool = True,
        clock: Callable[[], float] = time.time,
        step: Callable[[str], None] = _no_step,
        counts: Counter[str] | None = None,
    ) -> AsyncIterator["FileStore"]:
        """With everything recovered that there was before.

        Args:
            root: where finished uploads are published.
            folder: of ledger and parts, which this process then owns.
            past_cache: large ranges may go to the disk itself.
            step: called with the name of each step that has been done.
            counts: of attempts by state.

        Raises:
            PenstockError: ``folder`` or what is in it can not be used.
        """
        depot = Depot(root, folder, limits, clock, step, past_cache=past_cache)
        try:
            await recovery.recover(depot)
            yield cls(depot, Attempts(Counter() if counts is None else counts))
        finally:
            depot.close()

    def find(self, upload_id: str) -> Upload | None:
        return self._depot.ledger.sessions.get(upload_id)

    def held(self, owner: str) -> tuple[int, int]:
        """Unfinished uploads of a client, and the bytes that they hold."""
        return self._depot.space.held(owner)

    def replies(self, upload_id: str, start: int, end: int) -> Sequence[Reply]:
        return self._depot.ledger.replies(upload_id, start, end)

    async def create(self, new: Upload, *, now: float) -> Upload:
        part_name(new.id)
        if new.target is not None:
            names_of(new.target)
        depot = self._depot
        if new.id in depot.ledger.sessions:
            raise RefusedError(409, "an upload of this id exists")
        depot.space.hold(new.id, new.owner, new.length or 0)
        try:
            return await self._create(new, now)
        except BaseException:
            depot.space.free(new.id)
            raise

    async def _create(self, new: Upload, now: float) -> Upload:
        depot = self._depot
        try:
            inode = await depot.in_thread(self._create_part, new)
        except OSError as error:
            raise files.refusal_of(error.errno) from None
        depot.step("part created")
        row = replace(
            new,
            state=SessionState.OPEN,
            created=now,
            expires=now + depot.limits.expire_after,
            spans=(),
            inode=inode,
        )
        with trio.CancelScope(shield=True):  # else nobody knew whether there is a row
            try:
                await depot.ledger.insert(row)
            except RefusedError:
                await depot.in_thread(depot.parts.drop, new.id)
                raise
        depot.step("created")
        return depot.ledger.sessions[new.id]

    def _create_part(self, new: Upload) -> int:
        """Blocks."""
        depot = self._depot
        if new.target is not None:
            depot.targets.check(new.target, new.replaces)
        if depot.spare_bytes() < (new.length or 0):
            raise files.refusal_of(errno.ENOSPC)
        return depot.parts.create(new.id, new.length or 0)

    async def digest(
        self, upload: Upload, start: int, end: int, algorithm: str
    ) -> bytes | None:
        depot = self._depot
        try:
            fd = await depot.in_thread(self._open_bytes, upload)
        except (LostPartError, OSError):
            return None
        try:
            found = await depot.digests(fd, start, end, [algorithm])
        except (ShortFileError, OSError):
            return None
        finally:
            os.close(fd)
        return found[algorithm]

    def _open_bytes(self, upload: Upload) -> int:
        """Of its part, or of the file that it became. Blocks."""
        depot, target = self._depot, upload.target
        if upload.state is not SessionState.COMPLETED or target is None:
            try:
                return depot.parts.open(upload.id, upload.inode, upload.offset)
            except LostPartError:
                if upload.state is not SessionState.VERIFYING or target is None:
                    raise
        return depot.targets.open(target, upload.inode)

    async def set_length(self, upload: Upload, length: int) -> None:
        """Raises RefusedError: 409 it is not open, or has a length; 400, 413, 507."""
        _check_open(upload)
        if upload.length == length:
            return
        await sizing.set_length(self._depot, self._attempts, upload, length)

    async def write(
        self,
        upload: Upload,
        start: int,
        end: int,
        intake: Intake,
        *,
        digest: tuple[str, bytes] | None = None,
        exact: bool = False,
    ) -> Upload:
        if await self._is_there(upload, start, end, digest):
            return upload
        _check_open(upload)
        beyond = upload.length is not None and end > upload.length
        if beyond or not 0 <= start <= end:
            raise RefusedError(400, "the range is not one of the upload")
        async with self._attempts.begin(upload.id, start, end, intake) as attempt:
            if await self._is_there(upload, start, end, digest):
                return upload
            _check_open(upload)
            await Writing(self._depot, upload, attempt, digest, exact=exact).run()
        return upload

    async def _is_there(
        self, upload: Upload, start: int, end: int, digest: tuple[str, bytes] | None
    ) -> bool:
        """An older request has brought all of it, and the upload goes on to its end.

        Raises:
            RefusedError: 422, what is durable is something else.
        """
        goes_on = upload.state in (SessionState.VERIFYING, SessionState.COMPLETED)
        if not goes_on or not upload.has(start, end):
            return False
        if digest is not None:
            algorithm, value = digest
            if await self.digest(upload, start, end, algorithm) not in (None, value):
                raise RefusedError(422, f"the bytes have another {algorithm}")
        return True

    async def examine(self, upload: Upload) -> None:
        depot, reach = self._depot, spans.reach(upload.spans)
        if upload.state is not SessionState.OPEN:
            return
        try:
            await depot.in_thread(depot.parts.check, upload.id, upload.inode, reach)
        except LostPartError as error:
            if upload.state is SessionState.OPEN:  # still: no part, no session
                await depot.fail(upload, str(error))

    async def settle(self, upload: Upload) -> Upload:
        await self._attempts.settle(upload.id)
        return upload

    async def finish(self, upload: Upload) -> Upload:
        live = self._depot.live(upload)
        async with live.finishing:
            if upload.state is SessionState.COMPLETED:
                return upload
            if upload.state is not SessionState.VERIFYING:
                _check_open(upload)
            if not upload.is_whole:
                raise RefusedError(409, "the upload is not complete")
            # Some may have begun before its length was known.
            await self._attempts.settle(upload.id, beyond=upload.offset)
            await publishing.finish(self._depot, upload)
        return upload

    async def concatenate(self, new: Upload, parts: Sequence[Upload]) -> Upload:
        for part in parts:
            if part.state is not SessionState.COMPLETED or part.target is not None:
                raise RefusedError(409, "a part is not a finished partial upload")
        length = sum(part.offset for part in parts)
        upload = await self.create(replace(new, length=length), now=self._depot.clock())
        try:
            await copy_parts(self._depot, upload, parts)
            return await self.finish(upload)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.terminate(upload)
            raise

    def checkpoint(self, now: float, patience: float) -> None:
        """To be called every ``attempts.TICK_SECONDS``, by a clock that goes evenly:
        what has come is made durable while more comes, also if that is little.

        Args:
            patience: seconds after which an intake ends who brings nothing.
        """
        self._attempts.tick(now, patience)

    def stop(self) -> None:
        """The server ends: as ``Attempts.stop``."""
        self._attempts.stop()

    async def terminate(self, upload: Upload) -> None:
        await self.settle(upload)
        depot = self._depot
        live = depot.live(upload)
        async with live.finishing:
            if upload.state is SessionState.VERIFYING:
                await depot.ledger.move(upload, SessionEvent.REOPEN)
            if upload.state in (SessionState.EXPIRED, SessionState.TERMINATED):
                return
            await depot.end(upload, SessionEvent.TERMINATE)

    async def expire(self, now: float) -> int:
        depot = self._depot
        due = [u for u in depot.ledger.sessions.values() if u.expires <= now]
        gone = (SessionState.EXPIRED, SessionState.TERMINATED)
        ended = 0
        with suppress(RefusedError):  # the ledger has said why; the next time, then
            await depot.ledger.forget([u.id for u in due if u.state in gone])
        for upload in due:
            with suppress(RefusedError):
                ended += await self._expire(upload, now)
        return ended

    async def _expire(self, upload: Upload, now: float) -> bool:
        live = self._depot.live(upload)
        if live.finishing.locked():
            return False  # it is in use, and may be for long
        async with live.finishing:
            if upload.state is SessionState.VERIFYING:
                await publishing.settle(self._depot, upload)
            if not self._may_expire(upload, now):
                return False
            await self._depot.end(upload, SessionEvent.EXPIRE)
            return True

    def _may_expire(self, upload: Upload, now: float) -> bool:
        mortal = (SessionState.OPEN, SessionState.COMPLETED, SessionState.FAILED)
        return (
            upload.state in mortal
            and upload.expires <= now
            and not self._attempts.are_running(upload.id)
        )


def _check_open(upload: Upload) -> None:
    if upload.state is not SessionState.OPEN:
        raise RefusedError(409, f"the upload is {upload.state}")
