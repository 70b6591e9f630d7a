"""What all protocols do with an upload: begin it, find it, see who may go on with it,
and finish one that is whole."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256

from penstock.uploads.attempts import server_ends
from penstock.uploads.digest_fields import wanted_digests
from penstock.uploads.fields import idempotency_key, if_match
from penstock.uploads.model import Head, RefusedError, SessionState, Store, Upload
from penstock.uploads.tus_fields import is_id

ID_BYTES = 16  # of chance, in an id: in tus, whoever knows it may go on
KEY_BYTES = 32
_GONE = {SessionState.EXPIRED, SessionState.TERMINATED, SessionState.FAILED}


@dataclass(frozen=True, slots=True)
class Service:
    """What handling a request needs.

    Attributes:
        most_bytes: of one upload.
        results: how many answers there were, by protocol, method and status.
        ends: whether the server does, and nothing new begins.
        most_at_once: requests that bring bytes, of one client.
        at_once: how many these are.
    """

    store: Store
    may_upload: Callable[[Head], bool]
    most_bytes: int
    clock: Callable[[], float] = time.time
    results: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    ends: Callable[[], bool] = lambda: False
    most_at_once: int = 256
    at_once: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def bringing(self, client_id: str) -> Iterator[None]:
        """One more request of a client; so that nobody takes all that there can be.

        Raises:
            RefusedError: 503 the server ends, 429 it has too many.
        """
        if self.ends():
            raise server_ends()
        if self.at_once[client_id] >= self.most_at_once:
            raise too_many(self.most_at_once)
        self.at_once[client_id] += 1
        try:
            yield
        finally:
            self.at_once[client_id] -= 1
            if not self.at_once[client_id]:
                del self.at_once[client_id]

    def drafted(self, head: Head, length: int | None) -> Upload:
        """A session with an id of its own, and all else that a request may say of one,
        but neither key nor target. The store gives it its time."""
        if length is not None and length > self.most_bytes:
            raise too_large(self.most_bytes)
        now = self.clock()
        return Upload(
            id=secrets.token_hex(ID_BYTES),
            owner=head.client_id,
            target=None,
            length=length,
            state=SessionState.OPEN,
            created=now,
            expires=now,
            key_hash=b"",
            want=wanted_digests(head),
            replaces=if_match(head),
        )

    def found(self, upload_id: str) -> Upload:
        """
        Raises:
            RefusedError: 404; it says nothing of ids that there are.
        """
        upload = self.store.find(upload_id) if is_id(upload_id) else None
        if upload is None:
            raise RefusedError(404, "there is no such upload: begin a new one by POST")
        return upload

    def check_alive(self, upload: Upload) -> None:
        """One that is still OPEN is over when its time is, whoever notices first."""
        state = upload.state
        if state is SessionState.OPEN and self.clock() >= upload.expires:
            state = SessionState.EXPIRED
        if state in _GONE:
            why = f" ({upload.why})" if upload.why else ""
            raise RefusedError(
                410, f"the upload has {_ENDED[state]}{why}: begin a new one by POST"
            )

    async def check_kept(self, upload: Upload) -> None:
        """Before what there is of it is told: a client goes on from there."""
        self.check_alive(upload)
        await self.store.examine(upload)
        self.check_alive(upload)

    async def completed(self, upload: Upload) -> Upload:
        """Finished, if it is whole: also when the process ended right before that."""
        if upload.is_whole and upload.state is not SessionState.COMPLETED:
            return await self.store.finish(upload)
        return upload

    @asynccontextmanager
    async def or_forgotten(self, upload: Upload) -> AsyncIterator[None]:
        """For the request that made it: if that is refused, nobody learns the id."""
        try:
            yield
        except RefusedError:
            with suppress(RefusedError):  # then it expires
                await self.store.terminate(upload)
            raise


_ENDED = {
    SessionState.EXPIRED: "expired",
    SessionState.TERMINATED: "been deleted",
    SessionState.FAILED: "failed",
}


def too_many(most_at_once: int) -> RefusedError:
    return RefusedError(
        429,
        f"this client brings {most_at_once} bodies already: end one, or wait",
        [("Retry-After", "1")],
    )


def too_large(most_bytes: int) -> RefusedError:
    return RefusedError(413, f"an upload has at most {most_bytes} bytes")


def new_key() -> tuple[str, bytes]:
    """A key, to be told once, and what is kept of it."""
    key = secrets.token_urlsafe(KEY_BYTES)
    return key, hashed(key)


def hashed(key: str) -> bytes:
    return sha256(key.encode()).digest()


def check_key(upload: Upload, key: str | None) -> None:
    """
    Raises:
        RefusedError: 400 without one, 403 with another.
    """
    if key is None:
        raise RefusedError(
            400, "Idempotency-Key is missing: send the one that the answer to POST said"
        )
    if not hmac.compare_digest(upload.key_hash, hashed(key)):
        raise RefusedError(403, "this is not the Idempotency-Key of the upload")


def check_key_if_sent(upload: Upload, head: Head) -> None:
    key = idempotency_key(head)
    if key is not None:
        check_key(upload, key)
