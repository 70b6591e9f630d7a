"""One engine as a Trio task: a pinned thread, its events, its end."""

import logging
import os
import signal
from collections.abc import Callable

import trio

from penstock.errors import CrashError, PenstockError
from penstock.facade import EngineHandle

log = logging.getLogger(__name__)

# Signals are for the main thread; in an engine they would only interrupt its waits.
_BLOCKED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class EngineTask:
    """Runs ``engine`` on ``cpu``.

    Args:
        on_cut: called when the engine was cut because something else failed; it may
            hang.

    Attributes:
        ready: set when the engine serves.
    """

    def __init__(
        self, engine: EngineHandle, index: int, cpu: int, on_cut: Callable[[], None]
    ) -> None:
        self.ready = trio.Event()
        self.engine = engine
        self._index = index
        self._cpu = cpu
        self._on_cut = on_cut
        self._stopping = False
        self._ended = False

    def stop(self, drain_ns: int) -> None:
        """End within ``drain_ns``; a second call with 0 cuts what still runs."""
        self._stopping = True
        self.engine.stop(drain_ns)

    async def run(self, limiter: trio.CapacityLimiter) -> None:
        """Until the engine has ended; cancelling cuts it.

        Raises:
            PenstockError: the engine could not start.
            CrashError: it failed, or ended without being asked to.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cut_when_cancelled)
            nursery.start_soon(self._read_events)
            await self._run_thread(limiter)
            self._ended = True
            self._take_events()
            if not self._stopping:
                raise CrashError(f"engine {self._index} ended without being asked to")
            nursery.cancel_scope.cancel()

    async def _run_thread(self, limiter: trio.CapacityLimiter) -> None:
        """Not abandoned when cancelled: a ring ends in the thread that made it."""
        try:
            await trio.to_thread.run_sync(
                run_pinned,
                self.engine.run,
                self._cpu,
                limiter=limiter,
                thread_name=f"penstock-eng{self._index}",
            )
        except OSError as error:
            kind = CrashError if self.ready.is_set() else PenstockError
            raise kind(f"engine {self._index}: {error.strerror or error}") from error
        except Exception as error:
            raise CrashError(f"engine {self._index} failed: {error!r}") from error

    async def _cut_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            if not self._ended:
                self.stop(0)
                self._on_cut()

    async def _read_events(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self.engine.event_fd)
            self._take_events()

    def _take_events(self) -> None:
        for name, value in self.engine.events():
            if name == "ready":
                self.ready.set()
            self._log(name, value)

    def _log(self, name: str, value: int) -> None:
        match name:
            case "accept_paused":
                reason = os.strerror(value)
                log.warning("engine %d: accepting paused: %s", self._index, reason)
            case "accept_resumed":
                log.info("engine %d: accepting again", self._index)
            case "draining":
                log.info("engine %d: %d connections to end", self._index, value)
            case "stopped" if value:
                log.warning("engine %d: %d connections cut", self._index, value)


def run_pinned(run: Callable[[], None], cpu: int) -> None:
    """Call ``run`` with this thread bound to ``cpu`` and deaf to signals.

    Both are undone: Trio gives the thread to others afterwards.
    """
    affinity = os.sched_getaffinity(0)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        os.sched_setaffinity(0, {cpu})
        run()
    finally:
        os.sched_setaffinity(0, affinity)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
