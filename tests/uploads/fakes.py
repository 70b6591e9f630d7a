"""A request in memory that does what ``penstock.uploads.model`` says of an Intake.

Bytes go into the file that it is told, so that descriptors and offsets are real ones.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import trio

from penstock.uploads.model import NO_FD, End, Head, Hold, Received


def head(
    method: str = "PUT",
    target: str = "/upload",
    content_length: int | None = None,
    *,
    chunked: bool = False,
    **fields: str,
) -> Head:
    """Fields are ``named_like_this``."""
    lines = [(name.replace("_", "-").lower(), value) for name, value in fields.items()]
    return Head(method, target, lines, "ci", content_length, chunked)


@dataclass
class FakeIntake:
    """Brings ``body``, and then what ``then`` says: unless it is COMPLETE, the message
    announced more. With ``waits`` nothing comes after it until ``stop`` is called."""

    head: Head
    body: bytes = b""
    then: End = End.COMPLETE
    waits: bool = False
    errno: int = errno.ENOSPC  # of an ERROR
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    was_asked: bool = False  # for its body: a client that waits for 100 begins then
    moved: int = 0
    hangs: trio.Event = field(default_factory=trio.Event)
    stopped: trio.Event = field(default_factory=trio.Event)

    async def receive(
        self,
        fd: int,
        offset: int,
        most_bytes: int,
        direct_fd: int = NO_FD,
        hold: Hold = nullcontext,
    ) -> Received:
        del direct_fd, hold
        assert not self.answers
        self.was_asked = True
        await trio.lowlevel.checkpoint()
        if self.stopped.is_set():
            return Received(0, End.PREEMPTED)
        piece = self.body[self.moved : self.moved + most_bytes]
        os.pwrite(fd, piece, offset)
        self.moved += len(piece)
        if len(piece) == most_bytes and not self._has_come():
            return Received(len(piece), End.MORE)
        if self.waits:
            self.hangs.set()
            await self.stopped.wait()
            return Received(len(piece), End.PREEMPTED)
        return Received(len(piece), self.then, self.errno)

    def _has_come(self) -> bool:
        """All of the message, as far as that can be known: not of a chunked one, whose
        last chunk comes after its bytes."""
        return self.moved == self.head.content_length

    async def ended(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self.moved == len(self.body) and self.then is End.COMPLETE

    async def respond(
        self, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        assert not self.answers
        assert not any(c in "\r\n\0" for pair in fields for text in pair for c in text)
        names = [name.lower() for name, _ in fields]
        assert len(set(names)) == len(names)
        assert not (body and self.head.method == "HEAD")
        self.answers.append((status, dict(fields), body))

    def stop(self) -> None:
        self.stopped.set()
