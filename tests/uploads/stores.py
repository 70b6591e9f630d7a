"""A store in a folder of the test, bodies that are written as the engine would, and
uploads to make."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio

from penstock.uploads.model import (
    NO_FD,
    End,
    Head,
    Hold,
    Received,
    RefusedError,
    SessionState,
    Upload,
)
from penstock.uploads.space import StoreLimits
from penstock.uploads.store import FileStore

NOW = 1_800_000_000.0
EXPIRE_AFTER = 3600.0
LIMITS = StoreLimits(
    max_upload_bytes=1 << 40,
    max_client_bytes=1 << 40,
    max_total_bytes=1 << 40,
    reserve_free_bytes=0,
    expire_after=EXPIRE_AFTER,
)
DATA = random.Random(5).randbytes(100_000)
HEAD = Head("PUT", "/upload", (), "alice", None)


def new_upload(upload_id: str = "a", **changes: object) -> Upload:
    upload = Upload(
        id=upload_id,
        owner="alice",
        target="file",
        length=None,
        state=SessionState.OPEN,
        created=0.0,
        expires=0.0,
        key_hash=hashlib.sha256(b"key").digest(),
    )
    return replace(upload, **changes)  # type: ignore[arg-type]


@dataclass
class Places:
    """The served root and the folder of uploads, side by side."""

    home: Path
    limits: StoreLimits = LIMITS
    now: float = NOW

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def folder(self) -> Path:
        return self.home / "uploads"

    @asynccontextmanager
    async def store(
        self, step: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[FileStore]:
        async with FileStore.opened(
            self.root, self.folder, self.limits, clock=lambda: self.now, step=step
        ) as store:
            yield store

    def part(self, upload_id: str = "a") -> Path:
        return self.folder / f"{upload_id}.part"


@dataclass
class Body:
    """An Intake whose body is known: it is written in pieces, then ends as told.

    Args:
        stays: after its bytes it waits for more, until it is stopped.
    """

    data: bytes
    end: End = End.COMPLETE
    errno: int = 0
    stays: bool = False
    piece: int = 1 << 20
    head: Head = HEAD
    position: int = 0
    received: list[tuple[str, int, int]] = field(default_factory=list)
    waits: trio.Event = field(default_factory=trio.Event)
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
        name = _name_of(fd)
        end = min(self.position + most_bytes, len(self.data))
        n = 0
        while self.position < end:
            piece = self.data[self.position : min(end, self.position + self.piece)]
            try:
                written = os.pwrite(fd, piece, offset + n)
            except OSError as error:
                return self._received(name, offset, n, End.ERROR, error.errno or 0)
            self.position += written
            n += written
            await trio.lowlevel.checkpoint()
        if self.position < len(self.data) or (n == most_bytes and not self._is_all):
            return self._received(name, offset, n, End.MORE)
        if self.stays:
            self.waits.set()
            await self.stopped.wait()
            return self._received(name, offset, n, End.PREEMPTED)
        return self._received(name, offset, n, self.end, self.errno)

    @property
    def _is_all(self) -> bool:
        """What was announced is there."""
        return self.end is End.COMPLETE and not self.stays

    async def ended(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self.position == len(self.data) and self._is_all

    def _received(
        self, name: str, offset: int, n: int, end: End, errno: int = 0
    ) -> Received:
        self.received.append((name, offset, offset + n))
        return Received(n, end, errno)

    async def respond(
        self, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        raise AssertionError(f"a store does not answer {status} {fields} {body!r}")

    def stop(self) -> None:
        self.stopped.set()


def _name_of(fd: int) -> str:
    return Path(f"/proc/self/fd/{fd}").readlink().name


def digests(data: bytes) -> Mapping[str, bytes]:
    return {"sha-256": hashlib.sha256(data).digest()}


async def uploaded(store: FileStore, data: bytes, **changes: object) -> Upload:
    """One that is whole, and not finished."""
    upload = await store.create(new_upload(length=len(data), **changes), now=NOW)
    await store.write(upload, 0, len(data), Body(data))
    return upload


async def refused(status: int, call: Awaitable[object]) -> None:
    with pytest.raises(RefusedError) as caught:
        await call
    assert caught.value.status == status, caught.value


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


async def put(
    store: FileStore, upload: Upload, start: int, end: int, **more: object
) -> Upload:
    body = Body(DATA[start:end])
    return await store.write(upload, start, end, body, **more)  # type: ignore[arg-type]
