"""A store in memory that does what ``penstock.uploads.model`` says of one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import trio

from penstock.uploads.model import (
    End,
    Intake,
    Received,
    RefusedError,
    Reply,
    SessionState,
    Upload,
)

Spans = tuple[tuple[int, int], ...]
Digest = tuple[str, bytes]
LEAF_BYTES = 1 << 20
LIFETIME_S = 3600.0


def tree(content: bytes) -> bytes:
    """sha256-tree-1m."""
    leaves = [content[i : i + LEAF_BYTES] for i in range(0, len(content), LEAF_BYTES)]
    row = [hashlib.sha256(leaf).digest() for leaf in leaves or [b""]]
    while len(row) > 1:
        pairs = [row[i : i + 2] for i in range(0, len(row), 2)]
        row = [
            hashlib.sha256(b"".join(p)).digest() if len(p) == 2 else p[0] for p in pairs
        ]
    return row[0]


def digest_of(algorithm: str, content: bytes) -> bytes:
    if algorithm == "sha256-tree-1m":
        return tree(content)
    return hashlib.new(algorithm.replace("-", ""), content).digest()


def merged(spans: Spans, start: int, end: int) -> Spans:
    apart = [(a, b) for a, b in spans if b < start or a > end]
    near = [(a, b) for a, b in spans if not (b < start or a > end)]
    whole = (min([start, *(a for a, _ in near)]), max([end, *(b for _, b in near)]))
    return tuple(sorted([*apart, whole])) if start < end else spans


def gaps(spans: Spans, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for a, b in spans:
        if at < min(a, end):
            yield at, min(a, end)
        at = max(at, b)
    if at < end:
        yield at, end


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


@dataclass
class FakeStore:
    """``published`` is what is served. ``refusals`` are raised by the method of that
    name, once each."""

    published: dict[str, bytes] = field(default_factory=dict)
    refusals: dict[str, RefusedError] = field(default_factory=dict)
    sessions: dict[str, Upload] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    answered: dict[str, list[Reply]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)  # of what changes bytes
    active: dict[str, Intake] = field(default_factory=dict)
    locks: dict[str, trio.Lock] = field(default_factory=dict)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refusals:
            raise self.refusals.pop(name)

    def _put(self, upload: Upload) -> Upload:
        self.sessions[upload.id] = upload
        return upload

    def bytes_of(self, upload: Upload, start: int, end: int) -> bytes:
        return os.pread(self.files[upload.id], end - start, start)

    async def create(self, new: Upload, *, now: float) -> Upload:
        self._called("create")
        assert new.created == now
        self._judge(new)
        self.files[new.id] = os.memfd_create(new.id)
        self.locks[new.id] = trio.Lock()
        return self._put(replace(new, expires=now + LIFETIME_S))

    def find(self, upload_id: str) -> Upload | None:
        # Neither a path nor anything huge gets here.
        assert re.fullmatch(r"[\w-]{1,64}", upload_id, re.ASCII)
        return self.sessions.get(upload_id)

    def replies(self, upload_id: str, start: int, end: int) -> Sequence[Reply]:
        known = self.answered.get(upload_id, ())
        return [r for r in known if start <= r.start and r.end <= end]

    async def digest(
        self, upload: Upload, start: int, end: int, algorithm: str
    ) -> bytes | None:
        assert upload.has(start, end)
        if upload.id not in self.files:
            return None
        return digest_of(algorithm, self.bytes_of(upload, start, end))

    async def set_length(self, upload: Upload, length: int) -> None:
        self._called("set_length")
        assert upload.length is None
        self._put(replace(upload, length=length))

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
        self._called("write")
        assert 0 <= start < end <= (upload.length or end)
        older = self.active.get(upload.id)
        if older is not None:
            older.stop()
        self.active[upload.id] = intake
        async with self.locks[upload.id]:
            try:
                return await self._written(upload.id, start, end, intake, digest, exact)
            finally:
                if self.active.get(upload.id) is intake:
                    del self.active[upload.id]

    async def _written(
        self,
        upload_id: str,
        start: int,
        end: int,
        intake: Intake,
        digest: Digest | None,
        exact: bool,
    ) -> Upload:
        scratch = os.memfd_create("scratch")
        try:
            received = await intake.receive(scratch, start, end - start)
            _check_disk(received)
            is_short = received.n_bytes < end - start
            content = os.pread(scratch, received.n_bytes, start)
        finally:
            os.close(scratch)
        if digest is not None or exact:
            await _check_all(intake, received, digest, content, is_short=is_short)
        upload = self._kept(upload_id, start, content)
        if received.end is End.PREEMPTED:
            raise RefusedError(409, "a newer request took over")
        if not is_short:
            known = hashlib.sha256(content).digest() if digest else None
            self.answered.setdefault(upload_id, []).append(Reply(start, end, known))
        return upload

    async def keep(self, upload_id: str, start: int, content: bytes) -> None:
        """As if a request had brought it."""
        self._kept(upload_id, start, content)

    def _kept(self, upload_id: str, start: int, content: bytes) -> Upload:
        upload = self.sessions[upload_id]
        end = start + len(content)
        for a, b in gaps(upload.spans, start, end):
            os.pwrite(self.files[upload_id], content[a - start : b - start], a)
        return self._put(replace(upload, spans=merged(upload.spans, start, end)))

    async def examine(self, upload: Upload) -> None:
        pass

    async def settle(self, upload: Upload) -> Upload:
        active = self.active.get(upload.id)
        if active is not None:
            active.stop()
        async with self.locks[upload.id]:
            return self.sessions[upload.id]

    async def finish(self, upload: Upload) -> Upload:
        self._called("finish")
        upload = self.sessions[upload.id]
        if upload.state is SessionState.COMPLETED:
            return upload
        assert upload.is_whole
        await self.settle(upload)
        assert upload.length is not None
        content = self.bytes_of(upload, 0, upload.length)
        found = {a: digest_of(a, content) for a in upload.want}
        if found != upload.want:
            why = "the bytes do not match the digest"
            self._put(replace(upload, state=SessionState.FAILED, why=why))
            raise RefusedError(422, why)
        if upload.target is not None:
            self._judge(upload)
            self.published[upload.target] = content
        return self._put(replace(upload, state=SessionState.COMPLETED))

    def _judge(self, upload: Upload) -> None:
        there = self.published.get(upload.target or "")
        if there is not None and upload.replaces is None:
            raise RefusedError(409, "it is there already")
        if upload.replaces is not None and there is None:
            raise RefusedError(412, "there is nothing to replace")
        if upload.replaces not in (None, "*", there and _etag(there)):
            raise RefusedError(412, "it is not the one that If-Match names")

    def etag(self, path: str) -> str:
        return _etag(self.published[path])

    async def concatenate(self, new: Upload, parts: Sequence[Upload]) -> Upload:
        self._called("concatenate")
        assert all(p.state is SessionState.COMPLETED for p in parts)
        upload = await self.create(new, now=new.created)
        at = 0
        for part in parts:
            self._kept(upload.id, at, self.bytes_of(part, 0, part.offset))
            at += part.offset
        return await self.finish(upload)

    async def terminate(self, upload: Upload) -> None:
        self._called("terminate")
        self._put(replace(upload, state=SessionState.TERMINATED, spans=()))
        os.close(self.files.pop(upload.id))

    async def expire(self, now: float) -> int:
        raise NotImplementedError

    def close(self) -> None:
        for fd in self.files.values():
            os.close(fd)


def _check_disk(received: Received) -> None:
    if received.end is End.ERROR:
        raise RefusedError(507, os.strerror(received.errno))


async def _check_all(
    intake: Intake,
    received: Received,
    digest: Digest | None,
    content: bytes,
    *,
    is_short: bool,
) -> None:
    if received.end is End.PREEMPTED:
        raise RefusedError(409, "a newer request took over")
    if is_short:
        raise RefusedError(400, "the body ended early")
    if digest is not None and digest_of(digest[0], content) != digest[1]:
        raise RefusedError(422, "the bytes do not match the digest")
    if not await intake.ended():
        raise RefusedError(400, "the body goes on behind its range")
