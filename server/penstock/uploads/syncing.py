"""When bytes of a part are on the disk: as rarely as possible, and never twice."""

import os
from collections.abc import Awaitable, Callable

import trio

Call = Callable[[int], None]
InThread = Callable[[Call, int], Awaitable[None]]


class SharedSync:
    """fdatasync(2) of one file, for everybody who has written before it begins.

    One that failed is never tried again: the kernel has dropped the pages, and would
    say that all is well (fsync(2), ERRORS).
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._lock = trio.Lock()
        self._begun = 0
        self._ended = 0
        self.error: OSError | None = None

    async def sync(self, fd: int, call: Call | None = None) -> bool:
        """
        Args:
            call: in place of fdatasync(2), which it must include.

        Returns:
            Whether that was done, and not what somebody else asked for.

        Raises:
            OSError: this one failed, or one before.
        """
        mine = self._begun + 1  # one under way may have begun before our last byte
        is_ours = False
        async with self._lock:
            if self._ended < mine and self.error is None:
                is_ours = True
                await self._run(fd, call or os.fdatasync)
        if self.error is not None:
            raise self.error
        return is_ours

    async def _run(self, fd: int, call: Call) -> None:
        self._begun += 1
        number = self._begun
        try:
            await self._in_thread(call, fd)
        except OSError as error:
            self.error = error
        self._ended = number


class Checkpoints:
    """Makes what has arrived durable while more arrives; one at a time."""

    def __init__(self, save: Callable[[int], Awaitable[None]]) -> None:
        self._save = save
        self._done: trio.Event | None = None
        self._error: Exception | None = None

    async def note(self, position: int) -> None:
        """So far; waits for the one before, so that what is not durable has a bound.

        Raises:
            Exception: what ``save`` raised the last time.
        """
        await self.wait()
        self._done = trio.Event()
        # It ends with the request, which waits for it.
        trio.lowlevel.spawn_system_task(self._run, position, self._done)

    async def wait(self) -> None:
        """Raises what ``save`` raised."""
        if self._done is not None:
            with trio.CancelScope(shield=True):  # it uses the request's descriptor
                await self._done.wait()
        if self._error is not None:
            raise self._error

    async def _run(self, position: int, done: trio.Event) -> None:
        try:
            await self._save(position)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        finally:
            done.set()
