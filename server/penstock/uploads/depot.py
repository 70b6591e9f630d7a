"""What everything that is done with uploads shares: files, ledger, space, and threads
for calls that block."""

import logging
import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import trio

from penstock.uploads import files, spans
from penstock.uploads.digests import digests_of
from penstock.uploads.ledger import Ledger
from penstock.uploads.model import RefusedError, Reply, SessionState, Upload
from penstock.uploads.parts import LostPartError, Parts
from penstock.uploads.space import Space, StoreLimits
from penstock.uploads.states import SessionEvent
from penstock.uploads.syncing import SharedSync
from penstock.uploads.targets import Targets

log = logging.getLogger(__name__)
T = TypeVar("T")

DISK_THREADS_MAX = 16  # calls that wait for the disk at a time
READ_THREADS_MAX = 2  # of those that read whole files: they take a CPU each
REMEMBERED_SECONDS = 86_400.0  # an upload that has ended, so that clients can be told


_UNFINISHED: Final = {SessionState.OPEN, SessionState.VERIFYING}


@dataclass(slots=True, weakref_slot=True)
class Live:
    """Of a session, while somebody does something with it."""

    sync: SharedSync
    finishing: trio.Lock = field(default_factory=trio.Lock)


class Depot:
    """Made in a Trio task; ``close`` it at the end.

    Args:
        step: called with the name of each step that has been done.
        past_cache: there may be descriptors with O_DIRECT.

    Raises:
        PenstockError: ``folder`` can not be used, or the ledger in it.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        limits: StoreLimits,
        clock: Callable[[], float],
        step: Callable[[str], None],
        *,
        past_cache: bool = True,
    ) -> None:
        self._past_cache = past_cache
        self.space = Space(limits)
        self.limits = limits
        self.clock = clock
        self.step = step
        self._live: weakref.WeakValueDictionary[str, Live] = (
            weakref.WeakValueDictionary()
        )
        self._failed: set[str] = set()  # also those of which the ledger does not know
        self.prepared: set[str] = set()  # whose part is as it will be published
        self._disk = trio.CapacityLimiter(DISK_THREADS_MAX)
        self._readers = trio.CapacityLimiter(READ_THREADS_MAX)
        with ExitStack() as stack:
            self.parts = Parts(folder)
            stack.callback(self.parts.close)
            self.targets = Targets(root, folder, self.parts)
            stack.callback(self.targets.close)
            self.null_fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            stack.callback(os.close, self.null_fd)
            self.ledger = Ledger(folder)
            stack.callback(self.ledger.close)
            self.parts.sync()  # the ledger's name
            self.close = stack.pop_all().close

    def live(self, upload: Upload) -> Live:
        """To be held as long as it is used."""
        live = self._live.get(upload.id)
        if live is None:
            live = self._live[upload.id] = Live(SharedSync(self.in_thread))
        return live

    async def in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await trio.to_thread.run_sync(call, *args, limiter=self._disk)

    async def _reading(self, call: Callable[..., T], *args: object) -> T:
        """For what takes long, and lets itself be cancelled."""
        return await trio.to_thread.run_sync(call, *args, limiter=self._readers)

    async def digests(
        self, fd: int, start: int, end: int, algorithms: Iterable[str]
    ) -> dict[str, bytes]:
        """As ``digests_of``."""
        proceed = trio.from_thread.check_cancelled
        return await self._reading(digests_of, fd, start, end, algorithms, proceed)

    async def copy(self, source: int, target: int, at: int, length: int) -> None:
        """As ``files.copy``."""
        proceed = trio.from_thread.check_cancelled
        await self._reading(files.copy, source, target, at, length, proceed)

    def expiry(self) -> float:
        """Of something that has just been used."""
        return self.clock() + self.limits.expire_after

    def spare_bytes(self) -> int:
        """What is free beside the reserve; negative when that is touched."""
        return self.parts.free_bytes() - self.limits.reserve_free_bytes

    async def open(self, upload: Upload) -> int:
        """A descriptor of its part, to be closed.

        Raises:
            RefusedError: 500, it is not what was written, and the upload has failed.
        """
        fd, _ = await self.open_both(upload, direct=False)
        return fd

    def check_not_failed(self, upload: Upload) -> None:
        """Raises RefusedError: 500; also where the ledger could not be told."""
        if upload.id in self._failed:
            raise _has_failed()

    async def open_both(self, upload: Upload, *, direct: bool) -> tuple[int, int]:
        """As ``open``; and one with O_DIRECT, or NO_FD."""
        direct = direct and self._past_cache
        self.check_not_failed(upload)
        reach = spans.reach(upload.spans)
        try:
            return await self.in_thread(
                self.parts.open_both, upload.id, upload.inode, reach, direct
            )
        except LostPartError as error:
            raise await self.fail(upload, str(error)) from None
        except OSError as error:
            raise files.refusal_of(error.errno) from None

    async def make_durable(
        self,
        upload: Upload,
        fd: int,
        start: int,
        end: int,
        reply: Reply | None,
        *,
        last: bool = True,
    ) -> None:
        """``[start, end)``, which is in the file: on the disk, then in the ledger. One
        that is whole by that is VERIFYING, and its part ready to be published: one
        sync and one commit do for both.

        Args:
            last: nothing more comes of this request.

        Raises:
            RefusedError: 500, 507 or 409: it is not.
        """
        whole = last and _will_be_whole(upload, start, end)
        try:
            await self._sync(upload, fd, whole=whole)
        except OSError as error:
            why = f"can not be synced: {error}"
            raise await self.fail(upload, why) from None
        self.check_not_failed(upload)
        if (size := os.fstat(fd).st_size) < end:  # somebody else shortened it
            raise await self.fail(upload, f"its part file has only {size} bytes")
        self.step("synced")
        try:
            await self.ledger.record(
                upload, start, end, self.expiry(), reply, verifies=whole
            )
        except RefusedError as refused:
            # All of it is durable by somebody else, who made the upload whole.
            if refused.status == 409 and upload.has(start, end):
                return
            raise
        self.step("recorded")
        if whole:
            self.step("verifying")

    async def _sync(self, upload: Upload, fd: int, *, whole: bool) -> None:
        live, length = self.live(upload), upload.length
        if not whole or length is None:
            await live.sync.sync(fd)
            return
        public = upload.target is not None
        if (
            await live.sync.sync(
                fd, lambda fd: self.targets.prepare(fd, length, public=public)
            )
            and upload.state in _UNFINISHED
        ):
            self.prepared.add(upload.id)

    async def fail(self, upload: Upload, why: str) -> RefusedError:
        """Its bytes can not be trusted any more. Returns what its client is told."""
        log.error("upload %s of %s has failed: %s", upload.id, upload.owner, why)
        if upload.state in _UNFINISHED:
            self._failed.add(upload.id)
            with trio.CancelScope(shield=True):
                await self.end(upload, SessionEvent.FAIL, why=why)
        return _has_failed()

    async def end(self, upload: Upload, event: SessionEvent, why: str = "") -> None:
        """For good. Its part is dropped when the ledger knows, so that no session that
        goes on is without its bytes."""
        expires = self.clock() + REMEMBERED_SECONDS
        await self.ledger.move(upload, event, why=why, expires=expires)
        self.step("ended")
        await self.release(upload)

    async def release(self, upload: Upload) -> None:
        """Its part, and what it held."""
        await self.in_thread(self.parts.release, upload.id)
        self.forget(upload)

    def forget(self, upload: Upload) -> None:
        """What it held; its part is dropped."""
        self.space.free(upload.id)
        self._failed.discard(upload.id)
        self.prepared.discard(upload.id)


def _will_be_whole(upload: Upload, start: int, end: int) -> bool:
    known = spans.add(upload.spans, start, end)
    return upload.state is SessionState.OPEN and known == ((0, upload.length),)


def _has_failed() -> RefusedError:
    return RefusedError(500, "the upload has failed")
