"""From an engine's requests to Trio tasks, and back.

The engine leaves a request as an ``Intake``; here it becomes one task with a
``model.Intake``, which reads and answers it. A task that ends without an answer, or is
cancelled, lets go of it, and the engine ends the connection.

At the end nothing more is received, but what has come is not thrown away: tasks have a
moment to make it durable.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext

import trio

from penstock import _engine
from penstock.uploads.model import NO_FD, End, Head, Hold, Intake, Received

log = logging.getLogger(__name__)

Handle = Callable[[Intake], Awaitable[None]]
LAST_SECONDS = 2.0  # less than what the supervisor takes for a hang
_ENDS = {
    "complete": End.COMPLETE,
    "enough": End.MORE,
    "cut": End.CUT,
    "timeout": End.TIMEOUT,
    "stopped": End.PREEMPTED,
    "failed": End.ERROR,
}


def head_of(intake: _engine.Intake) -> Head:
    """The first line is ``METHOD target``, and each that follows a field."""
    first, *lines = intake.head.decode("latin-1").split("\r\n")
    method, _, target = first.partition(" ")
    pairs = [line.partition(":") for line in lines if line]
    return Head(
        method=method,
        target=target,
        fields=[(name.lower(), value.strip(" \t")) for name, _, value in pairs],
        client_id=intake.client_id,
        content_length=intake.content_length,
        chunked=intake.chunked,
    )


class EngineIntake:
    """``model.Intake`` of an engine's request.

    Attributes:
        answered: there is an answer.
    """

    def __init__(self, intake: _engine.Intake) -> None:
        self.head = head_of(intake)
        self.answered = False
        self._intake = intake
        self._done: trio.Event | None = None

    def done(self) -> None:
        """The engine has carried out its order."""
        if self._done is not None:
            self._done.set()

    async def receive(
        self,
        fd: int,
        offset: int,
        most_bytes: int,
        direct_fd: int = NO_FD,
        hold: Hold = nullcontext,
    ) -> Received:
        del hold  # an engine waits for its client only
        return await self._order(fd, offset, most_bytes, direct_fd)

    async def ended(self) -> bool:
        """Whether anything follows the last byte, only the next chunk's head says."""
        if self._intake.body_left is None:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            try:
                rest = await self._order(nowhere, 0, 1)
            finally:
                os.close(nowhere)
            return rest == Received(0, End.COMPLETE)
        return self._intake.body_left == 0

    async def respond(
        self, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        await trio.lowlevel.checkpoint()
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self._intake.answer(status, lines.encode("latin-1"), body)
        self.answered = True

    def stop(self) -> None:
        if self._done is not None:
            self._intake.stop()

    def drop(self) -> None:
        self._intake.drop()

    async def _order(
        self, fd: int, offset: int, most_bytes: int, direct_fd: int = NO_FD
    ) -> Received:
        """Cancelled, it returns when nothing is written to ``fd`` any more."""
        self._done = trio.Event()
        self._intake.receive(fd, offset, most_bytes, direct_fd)
        try:
            await self._done.wait()
        except trio.Cancelled:
            self._intake.stop()
            with trio.CancelScope(shield=True):
                await self._done.wait()
            raise
        finally:
            self._done = None
        n_bytes, end, error = self._intake.received
        return Received(n_bytes, _ENDS[end], error)


class Bridge:
    """The requests of one engine.

    Args:
        handle: answers one.
    """

    def __init__(self, engine: _engine.Engine, handle: Handle) -> None:
        self._engine = engine
        self._handle = handle
        self._open: dict[int, EngineIntake] = {}

    async def run(self) -> None:
        """Until cancelled; then every request ends, or is let go of."""
        listening = trio.CancelScope(shield=True)
        lasting = trio.CancelScope(shield=True)
        ending = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._await_end, lasting, ending)
            try:
                with lasting:
                    async with trio.open_nursery() as tasks:
                        nursery.start_soon(self._listen, tasks, listening)
                        await ending.wait()
            finally:
                # Until here: tasks that end wait for what they ordered.
                listening.cancel()

    async def _await_end(self, lasting: trio.CancelScope, ending: trio.Event) -> None:
        try:
            await trio.sleep_forever()
        finally:
            lasting.deadline = trio.current_time() + LAST_SECONDS
            for intake in self._open.values():
                intake.stop()
            ending.set()

    async def _listen(self, tasks: trio.Nursery, listening: trio.CancelScope) -> None:
        fd = _engine.intakes_fd(self._engine)
        with listening:
            while True:
                await trio.lowlevel.wait_readable(fd)
                for index, intake in _engine.intakes_news(self._engine):
                    if intake is None:
                        self._open[index].done()
                    else:
                        self._begin(tasks, index, intake)

    def _begin(self, tasks: trio.Nursery, index: int, new: _engine.Intake) -> None:
        intake = self._open[index] = EngineIntake(new)
        tasks.start_soon(self._answer, index, intake)

    async def _answer(self, index: int, intake: EngineIntake) -> None:
        """A bug in one must not end the others."""
        try:
            await self._handle(intake)
        except Exception:
            log.exception("%s %s", intake.head.method, intake.head.target)
        finally:
            del self._open[index]
            if not intake.answered:
                intake.drop()
