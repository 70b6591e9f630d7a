"""The life of the server: start, ready, reload, drain, end.

One nursery owns the engines, the admin API and the signals. Whatever fails in one of
them ends all.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

import trio

from penstock.admin_server import serve_admin
from penstock.control import Control, State
from penstock.durations import SECOND_NS
from penstock.engines import EngineTask
from penstock.errors import EXIT_CRASHED, PenstockError
from penstock.facade import EngineHandle

if TYPE_CHECKING:
    from penstock.uploads.running import Uploads

log = logging.getLogger(__name__)

# An engine that is asked to end keeps its own deadline. One that hangs can not be
# cancelled, so that after this much more the process ends without it.
HANG_GRACE_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _exit_hung() -> None:
    log.critical("an engine did not end in time: leaving without it")
    os._exit(EXIT_CRASHED)


class Supervisor:
    """Runs once.

    Args:
        engines: one for each of ``cpus``.
        admin_app: the ASGI application for ``admin_listener``.
        announce: called once, when every engine serves.
        uploads: if there are any.
        on_hang: called in another thread when an engine outlives its deadline.
    """

    def __init__(
        self,
        control: Control,
        engines: Sequence[EngineHandle],
        cpus: Sequence[int],
        *,
        admin_app: Any,
        admin_listener: socket.socket,
        announce: Callable[[], None],
        uploads: "Uploads | None" = None,
        on_hang: Callable[[], None] = _exit_hung,
    ) -> None:
        pairs = enumerate(zip(engines, cpus, strict=True))
        self._tasks = [
            EngineTask(engine, i, cpu, self._watch_cut) for i, (engine, cpu) in pairs
        ]
        self._control = control
        self._admin_app = admin_app
        self._admin_listener = admin_listener
        self._announce = announce
        self._uploads = uploads
        self._on_hang = on_hang
        self._watchdog: threading.Timer | None = None

    async def run(self) -> None:
        """Until a signal has ended the server.

        Raises:
            ExceptionGroup: of the PenstockError that ended it.
        """
        try:
            with trio.open_signal_receiver(*_SIGNALS) as signals:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._handle_signals, signals)
                    nursery.start_soon(self._control.sharing.run)
                    nursery.start_soon(self._control.timed.run)
                    if self._uploads is not None:
                        await nursery.start(self._uploads.run)
                    await self._run_admin_and_engines(nursery)
                    nursery.cancel_scope.cancel()
        finally:
            self._watch(None)

    async def _run_admin_and_engines(self, helpers: trio.Nursery) -> None:
        """The admin API outlives the engines, so that a drain can be watched."""
        stop_admin = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(
                serve_admin, self._admin_app, self._admin_listener, stop_admin
            )
            helpers.start_soon(self._announce_when_ready)
            await self._run_engines()
            self._control.events.close()
            stop_admin.set()

    async def _run_engines(self) -> None:
        limiter = trio.CapacityLimiter(len(self._tasks))
        async with trio.open_nursery() as nursery:
            for task in self._tasks:
                nursery.start_soon(task.run, limiter)

    async def _announce_when_ready(self) -> None:
        for task in self._tasks:
            await task.ready.wait()
        if self._control.state is State.STARTING:
            self._control.state = State.SERVING
            self._announce()

    async def _handle_signals(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                self._reload()
            else:
                self._stop(signal.Signals(number).name)

    def _reload(self) -> None:
        """Whatever goes wrong with it, the server goes on as it was."""
        problems: tuple[str, ...] = ()
        try:
            self._control.reload()
        except PenstockError as error:
            problems = error.problems
        except Exception as error:
            log.exception("internal error in a reload", exc_info=error)
            problems = (f"internal error: {error!r}",)
        for problem in problems:
            log.error("configuration not reloaded: %s", problem)

    def _stop(self, reason: str) -> None:
        """Drain; a second time: cut."""
        again = self._control.state is State.DRAINING
        drain_ns = 0 if again else self._control.settings.server.drain_timeout_ns
        log.info("%s: %s", reason, "cutting what still runs" if again else "draining")
        self._control.state = State.DRAINING
        for task in self._tasks:
            task.stop(drain_ns)
        if self._uploads is not None:
            self._uploads.drain(drain_ns / SECOND_NS)
        self._watch(drain_ns / SECOND_NS + HANG_GRACE_S)

    def _watch_cut(self) -> None:
        self._watch(HANG_GRACE_S)

    def _watch(self, seconds: float | None) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        if seconds is not None:
            self._watchdog = threading.Timer(seconds, self._on_hang)
            self._watchdog.daemon = True
            self._watchdog.start()
