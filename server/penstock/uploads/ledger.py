"""What is remembered of uploads: on the disk first, then in memory, where it is read.

One process owns a ledger, by a lock on a file beside it.
"""

import fcntl
import heapq
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from penstock.errors import PenstockError
from penstock.uploads import schema, spans
from penstock.uploads.model import RefusedError, Reply, SessionState, Upload
from penstock.uploads.states import SessionEvent, next_session
from penstock.uploads.writer import Writer

LOCK_FILE = "lock"
SESSIONS_MAX = 100_000  # remembered, each about a kilobyte of memory
RANGES_MAX = 4096  # of a session, with gaps between them
REPLIES_MAX = 1 << 17  # of a session; what comes after is durable, but not told apart
REPLIES_READ_MAX = 1000
FORGOTTEN_AT_ONCE = 1000  # of those that are over, when there are SESSIONS_MAX
_ENDED: Final = {
    SessionState.FAILED,
    SessionState.EXPIRED,
    SessionState.TERMINATED,
}
_UPDATE: Final = """
UPDATE session SET state = ?, length = ?, expires = ?, why = ?, sum = ?
WHERE id = ? AND state = ?
"""
_TOUCH: Final = """
UPDATE session SET expires = ?
WHERE id = ? AND state = 'open' AND (length IS NULL OR length >= ?)
"""
# The sum holds: what else it is of changes only together with the state.
_SET_LENGTH: Final = """
UPDATE session SET length = ?, sum = ?
WHERE id = ? AND state = 'open' AND length IS NULL
AND NOT EXISTS (SELECT 1 FROM range WHERE session = session.id AND "end" > ?)
"""
_ADD_REPLY: Final = """
INSERT OR IGNORE INTO reply (session, start, "end", digest) VALUES (?, ?, ?, ?)
"""


class Ledger:
    """Made in a Trio task; ``close`` it at the end.

    Attributes:
        sessions: all that are remembered, by id; only the ledger changes them.

    Raises:
        PenstockError: another process owns it, or ``schema.open_ledger`` refuses it.
    """

    def __init__(self, folder: Path) -> None:
        self._lock_fd = _lock(folder)
        try:
            self._connection, self._sessions = schema.open_ledger(folder)
            self._reader = schema.open_reader(folder)
            self._n_replies = Counter(schema.read_numbers_of_replies(self._reader))
        except BaseException:
            os.close(self._lock_fd)
            raise
        self.sessions: Mapping[str, Upload] = MappingProxyType(self._sessions)
        self._writer = Writer(self._connection)

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._connection.close()
        os.close(self._lock_fd)

    async def insert(self, new: Upload) -> Upload:
        """Raises RefusedError: 409 there is one of this id, 507 there are too many."""
        if new.id in self._sessions:
            raise RefusedError(409, "an upload of this id exists")
        if len(self._sessions) >= SESSIONS_MAX:
            await self._make_room()
        upload = replace(new)

        def insert(connection: sqlite3.Connection) -> None:
            row = schema.row_of(upload)
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO session VALUES ({marks})", row)  # noqa: S608

        def applied() -> None:
            self._sessions[upload.id] = upload

        await self._writer.do(insert, applied)
        return upload

    async def record(
        self,
        upload: Upload,
        start: int,
        end: int,
        expires: float,
        reply: Reply | None,
        *,
        verifies: bool = False,
    ) -> None:
        """``[start, end)`` is durable, and its session lives until ``expires``.

        Args:
            verifies: that makes it whole, and VERIFYING.

        Raises:
            RefusedError: 409 it is not open any more, is shorter, or has too many gaps.
        """
        if upload.state is not SessionState.OPEN:
            raise _not_open()
        event = SessionEvent.VERIFY if verifies else None
        after = upload if event is None else _moved(upload, event, expires=expires)

        def record(connection: sqlite3.Connection) -> None:
            open_ones = connection.execute(_TOUCH, (expires, upload.id, end))
            if open_ones.rowcount != 1:
                raise _not_open()
            if start < end:
                _add_range(connection, upload.id, start, end)
            if reply is not None:
                row = (upload.id, reply.start, reply.end, reply.digest)
                connection.execute(_ADD_REPLY, row)
            if after is not upload:
                _update(connection, upload, after)

        def applied() -> None:
            upload.spans = spans.add(upload.spans, start, end)
            upload.expires, upload.state = expires, after.state
            self._n_replies[upload.id] += reply is not None

        if self._n_replies[upload.id] >= REPLIES_MAX:
            reply = None
        if len(spans.add(upload.spans, start, end)) > RANGES_MAX:
            raise RefusedError(409, f"more than {RANGES_MAX} ranges: fill gaps first")
        await self._writer.do(record, applied)

    async def set_length(self, upload: Upload, length: int) -> None:
        """Raises RefusedError: 409 it is not open, has one, or has more already."""
        total = schema.sum_of_session(replace(upload, length=length))

        def set_length(connection: sqlite3.Connection) -> None:
            row = (length, total, upload.id, length)
            if connection.execute(_SET_LENGTH, row).rowcount != 1:
                raise RefusedError(409, "the upload has a length, or more bytes")

        def applied() -> None:
            upload.length = length

        await self._writer.do(set_length, applied)

    async def move(
        self,
        upload: Upload,
        event: SessionEvent,
        *,
        why: str | None = None,
        expires: float | None = None,
    ) -> None:
        """Into the state that follows.

        Raises:
            IllegalTransitionError: none does.
            RefusedError: 409 it went into another one meanwhile.
        """
        await self._update(upload, _moved(upload, event, why=why, expires=expires))

    async def forget(self, ids: Iterable[str]) -> None:
        gone = list(ids)

        def forget(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM session WHERE id = ?", [(one,) for one in gone]
            )

        def applied() -> None:
            for one in gone:
                self._sessions.pop(one, None)
                self._n_replies.pop(one, None)

        await self._writer.do(forget, applied)

    def replies(self, upload_id: str, start: int, end: int) -> Sequence[Reply]:
        """The first of them that lie in ``[start, end)``."""
        found = self._reader.execute(
            'SELECT start, "end", digest FROM reply '
            'WHERE session = ? AND start >= ? AND start < ? AND "end" <= ? LIMIT ?',
            (upload_id, start, end, end, REPLIES_READ_MAX),
        )
        with closing(found) as rows:
            return [Reply(*row) for row in rows]

    async def _make_room(self) -> None:
        """Raises RefusedError: 507, all sessions are in use."""
        ended = [upload for upload in self._sessions.values() if _is_over(upload)]
        if not ended:
            raise RefusedError(507, "too many uploads are open")
        oldest = heapq.nsmallest(FORGOTTEN_AT_ONCE, ended, key=lambda u: u.expires)
        await self.forget(upload.id for upload in oldest)

    async def _update(self, upload: Upload, after: Upload) -> None:
        before = replace(upload)  # as it is now

        def update(connection: sqlite3.Connection) -> None:
            _update(connection, before, after)

        def applied() -> None:
            upload.state, upload.length = after.state, after.length
            upload.expires, upload.why = after.expires, after.why

        await self._writer.do(update, applied)


def _not_open() -> RefusedError:
    return RefusedError(409, "the upload is not open any more, or is shorter")


def _moved(
    upload: Upload,
    event: SessionEvent,
    *,
    why: str | None = None,
    expires: float | None = None,
) -> Upload:
    """As it is afterwards. Raises IllegalTransitionError."""
    return replace(
        upload,
        state=next_session(upload.state, event),
        why=upload.why if why is None else why,
        expires=upload.expires if expires is None else expires,
    )


def _update(connection: sqlite3.Connection, before: Upload, after: Upload) -> None:
    """Raises RefusedError: 409, it is another one meanwhile."""
    row = (after.state, after.length, after.expires, after.why)
    total = schema.sum_of_session(after)
    updated = connection.execute(_UPDATE, (*row, total, before.id, before.state))
    if updated.rowcount != 1:
        raise RefusedError(409, f"the upload is not {before.state} any more")


def _is_over(upload: Upload) -> bool:
    """Nothing can be done with it any more, but to tell what became of it."""
    published = upload.state is SessionState.COMPLETED and upload.target is not None
    return published or upload.state in _ENDED


def _add_range(
    connection: sqlite3.Connection, session: str, start: int, end: int
) -> None:
    """Joined with those that it touches."""
    touched = connection.execute(
        'SELECT start, "end" FROM range '
        'WHERE session = ? AND start <= ? AND "end" >= ? ORDER BY start',
        (session, end, start),
    ).fetchall()
    [(start, end)] = spans.add(tuple(touched), start, end)
    connection.execute(
        "DELETE FROM range WHERE session = ? AND start BETWEEN ? AND ?",
        (session, start, end),
    )
    connection.execute(
        "INSERT INTO range VALUES (?, ?, ?, ?)",
        (session, start, end, schema.sum_of_range(session, start, end)),
    )


def _lock(folder: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(folder / LOCK_FILE, flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise PenstockError(
            f"uploads.directory: {folder}: another server uses it: give each its own"
        ) from None
    return fd
