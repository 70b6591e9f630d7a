"""What the parts of an upload call each other: the head of a request, what was
received, a session as it is remembered, and what refuses.

Ranges are half-open, ``[start, end)``, everywhere but in header fields. Times are
seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

NO_FD = -1


class SessionState(StrEnum):
    """Of a session, which outlives connections and processes."""

    OPEN = "open"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    TERMINATED = "terminated"


class AttemptState(StrEnum):
    """Of one request that brings bytes; it ends with its stream."""

    IDLE = "idle"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ABORTED = "aborted"


class End(StrEnum):
    """Why no more bytes come."""

    COMPLETE = "complete"  # the message has no more
    MORE = "more"  # all that was asked for came, and the message goes on
    CUT = "cut"  # the peer left
    TIMEOUT = "timeout"  # it brought nothing for too long
    PREEMPTED = "preempted"  # ``stop`` was called
    ERROR = "error"  # the file could not be written; ``errno`` says why


@dataclass(frozen=True, slots=True)
class Received:
    n_bytes: int  # that are in the file, from the offset on
    end: End
    errno: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """A request, without its body. Names of fields are lower case; several lines of one
    name are several pairs."""

    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    client_id: str
    content_length: int | None  # None: chunked, or no body at all
    chunked: bool = False
    secure: bool = False

    def get(self, name: str) -> str | None:
        """Of the field's lines, joined by a comma (RFC 9110 section 5.3)."""
        found = [value for key, value in self.fields if key == name]
        return ", ".join(found) if found else None


Hold = Callable[[], AbstractContextManager[None]]
"""Around a wait in which nothing is received, though more may come."""


class Intake(Protocol):
    """A request whose body nobody has read yet, and its answer. One task uses it."""

    head: Head

    async def receive(
        self,
        fd: int,
        offset: int,
        most_bytes: int,
        direct_fd: int = NO_FD,
        hold: Hold = nullcontext,
    ) -> Received:
        """Move the body into a file, ``most_bytes`` of it at most; the first call lets
        a client begin that waits for 100 Continue. Bytes are in the file when it
        returns, which says nothing of the disk.

        Args:
            direct_fd: of the same file, with O_DIRECT, for pieces that need not be in
                the page cache.
            hold: around each wait in which it keeps its client from sending.
        """

    async def ended(self) -> bool:
        """Whether the body has no more. Of a chunked one that can be known only from
        what comes next, and this waits for it as ``receive`` does; a body that was cut
        has not ended."""

    async def respond(
        self, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        """Answer. What is left of the body is thrown away, or the connection closed."""

    def stop(self) -> None:
        """Any task: end ``receive`` now (PREEMPTED); another one goes on behind it."""


@dataclass(slots=True)
class Upload:
    """A session as the ledger has it. Only the ledger changes it."""

    id: str
    owner: str  # client id
    target: str | None  # path below the root; None: of a partial one, which is no file
    length: int | None  # None: not known yet
    state: SessionState
    created: float
    expires: float
    key_hash: bytes  # SHA-256 of its Idempotency-Key
    metadata: str = ""  # as tus brought it
    concat: str = ""  # Upload-Concat as tus brought it: "partial", or "final;…"
    want: Mapping[str, bytes] = field(default_factory=dict)
    """Digests of the whole, by algorithm: sha-256, sha-512, sha256-tree-1m."""
    spans: tuple[tuple[int, int], ...] = ()  # durable, disjoint, in order
    replaces: str | None = None  # the ETag that If-Match allowed to replace
    why: str = ""  # it failed
    inode: int = 0  # of its part file

    @property
    def offset(self) -> int:
        """How much is durable without a gap from the beginning."""
        return self.spans[0][1] if self.spans and self.spans[0][0] == 0 else 0

    def has(self, start: int, end: int) -> bool:
        """Whether all of the range is durable."""
        return start >= end or any(a <= start and end <= b for a, b in self.spans)

    @property
    def is_whole(self) -> bool:
        return self.length is not None and self.offset == self.length


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered to a range that is durable."""

    start: int
    end: int
    digest: bytes | None  # SHA-256 of the range, if its request brought one


class RefusedError(Exception):
    """An answer that is no success; nothing has changed.

    Attributes:
        fields: of the response.
    """

    def __init__(
        self, status: int, detail: str, fields: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = fields


class Store(Protocol):
    """Sessions and their files."""

    async def create(self, new: Upload, *, now: float) -> Upload:
        """Durable when it returns; its part file exists, and has its space reserved.
        When it expires is the store's to say.

        Raises:
            RefusedError: 400 a path that can not be, 403/409/412 the target, 413 too
                large, 507 no space or quota.
        """

    def find(self, upload_id: str) -> Upload | None:
        """Also of one that has ended, as long as it is remembered."""

    def replies(self, upload_id: str, start: int, end: int) -> Sequence[Reply]:
        """Of ranges that were durable and lie in ``[start, end)``."""

    async def digest(
        self, upload: Upload, start: int, end: int, algorithm: str
    ) -> bytes | None:
        """Of durable bytes, read again; None: they are no longer to be had."""

    async def set_length(self, upload: Upload, length: int) -> None:
        """Once, of one that was created without."""

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
        """Receive ``[start, end)`` or the beginning of it, and make it durable; of a
        chunked body ``end`` is only a bound, and may be far behind what comes. A newer
        call ends an older one whose range overlaps within two seconds. What is durable
        already stays as it is, and what the body has for it is thrown away.

        With ``digest`` (algorithm, value; of the whole range) all or nothing: it is
        judged by what the file has then, so that other bytes that were durable already
        are seen, and what does not match is forgotten. With ``exact`` all or nothing,
        too: a body that ends early, or has not ``ended`` with the range, is forgotten.

        Raises:
            RefusedError: 400 the range, or the body was shorter or longer (with a
                digest or ``exact``), 409 preempted or not open, 422 the digest, 507 no
                space, 500 the disk failed. But for all or nothing, what came before is
                durable nevertheless.
        """

    async def examine(self, upload: Upload) -> None:
        """One that is open has failed when this returns, if its bytes are gone."""

    async def settle(self, upload: Upload) -> Upload:
        """End what brings bytes right now, so that all of these are known.

        Raises:
            RefusedError: 409, it does not end.
        """

    async def finish(self, upload: Upload) -> Upload:
        """Verify and publish one that is whole; the same again when it was done. One
        without a target becomes COMPLETED and keeps its bytes.

        Raises:
            RefusedError: 422 a digest of the whole, 409/412 the target, 507, 500.
        """

    async def concatenate(self, new: Upload, parts: Sequence[Upload]) -> Upload:
        """A new upload of the bytes of others, finished. These are partial ones that
        are finished, and stay.

        Raises:
            RefusedError: 409 one of them is not; as ``create`` and ``finish`` do.
        """

    async def terminate(self, upload: Upload) -> None:
        """Forget its bytes; what is published stays."""

    async def expire(self, now: float) -> int:
        """End what nobody has gone on with for too long, and forget what ended long
        ago; how many were ended."""
