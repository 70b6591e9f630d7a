"""The ledger's database: opened, checked and read before anything is served.

What is damaged, foreign or newer is refused: an offset that is wrong would cost a
client its file, a server that does not start costs it time. SQLite sees damage to its
structure; sums of the rows see damage to what they hold.
"""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from penstock.errors import PenstockError
from penstock.uploads import spans
from penstock.uploads.model import SessionState, Upload

LEDGER_FILE = "ledger.sqlite"
APPLICATION_ID: Final = 0x70656E73  # "pens"
SCHEMA_VERSION: Final = 1
BUSY_TIMEOUT_MS = 5000  # a backup may read it meanwhile
WAL_BYTES_MAX = 16 << 20  # that stay on the disk when the log is empty again
_TABLES: Final = """
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    target TEXT,
    length INTEGER CHECK (length >= 0),
    state TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL NOT NULL,
    key_hash BLOB NOT NULL,
    metadata TEXT NOT NULL,
    concat TEXT NOT NULL,
    want TEXT NOT NULL,
    replaces TEXT,
    why TEXT NOT NULL,
    inode TEXT NOT NULL,
    sum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE range (
    session TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
    start INTEGER NOT NULL CHECK (start >= 0),
    "end" INTEGER NOT NULL CHECK ("end" > start),
    sum INTEGER NOT NULL,
    PRIMARY KEY (session, start)
) WITHOUT ROWID;
CREATE TABLE reply (
    session TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
    start INTEGER NOT NULL CHECK (start >= 0),
    "end" INTEGER NOT NULL CHECK ("end" > start),
    digest BLOB,
    PRIMARY KEY (session, start, "end")
) WITHOUT ROWID;
"""
COLUMNS: Final = (
    "id owner target length state created expires key_hash metadata concat want "
    "replaces why inode"
).split()


def open_ledger(folder: Path) -> tuple[sqlite3.Connection, dict[str, Upload]]:
    """The one connection that writes, and all sessions that the ledger remembers.

    Raises:
        PenstockError: it is damaged, foreign or newer, or can not be opened.
    """
    file = folder / LEDGER_FILE
    try:
        # SQLite gives its other files the mode of this one.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.connect(
            file, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise PenstockError(f"uploads.directory: {file}: {error}") from None
    try:
        _prepare(connection)
        return connection, read_sessions(connection)
    except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
        connection.close()
        raise PenstockError(_damaged(file, error)) from None
    except PenstockError as error:
        connection.close()
        raise PenstockError(f"uploads.directory: {file}: {error}") from None


def open_reader(folder: Path) -> sqlite3.Connection:
    """Another connection, which reads beside the one that writes."""
    connection = sqlite3.connect(folder / LEDGER_FILE, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only = ON")
    return connection


def _damaged(file: Path, error: Exception) -> str:
    return (
        f"uploads.directory: {file} is damaged or can not be read ({error}): restore "
        "it from a backup, or move it away together with its -wal and -shm files; then "
        "uploads that were not finished begin anew"
    )


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _check_whose(connection)
    if _pragma(connection, "journal_mode = WAL") != "wal":
        raise PenstockError("no write-ahead log is possible here: use a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    if (found := _pragma(connection, "quick_check(1)")) != "ok":
        raise ValueError(found)
    if _pragma(connection, "user_version") == 0:
        _create(connection)


def _check_whose(connection: sqlite3.Connection) -> None:
    """Before anything is written into it."""
    version = _pragma(connection, "user_version")
    ours = _pragma(connection, "application_id") == APPLICATION_ID
    [empty] = connection.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()
    if not ours and not (empty and version == 0):
        raise PenstockError("is another program's database: choose another directory")
    if version > SCHEMA_VERSION:
        raise PenstockError(
            f"was written by a newer penstock (schema {version}, known here: "
            f"{SCHEMA_VERSION}): run that one, or choose another directory"
        )
    if ours and version < 1:
        raise ValueError(f"schema {version}")


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE;{_TABLES}"
        f"PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION};"
        "COMMIT;"
    )


def _pragma(connection: sqlite3.Connection, text: str) -> Any:
    [value] = connection.execute(f"PRAGMA {text}").fetchone()
    return value


def read_sessions(connection: sqlite3.Connection) -> dict[str, Upload]:
    """All of them, with their ranges.

    Raises:
        ValueError: they can not be true.
        sqlite3.Error: they can not be read.
    """
    found: dict[str, list[spans.Span]] = {}
    order = 'SELECT session, start, "end", sum FROM range ORDER BY session, start'
    with closing(connection.execute(order)) as rows:
        for session, start, end, total in rows:
            if total != sum_of_range(session, start, end):
                raise ValueError(f"a range of {session} has another sum")
            found.setdefault(session, []).append((start, end))
    with closing(connection.execute("SELECT * FROM session")) as rows:
        sessions = [_session(row, found) for row in rows]
    if found:
        raise ValueError(f"ranges of {min(found)}, which is no session")
    return {upload.id: upload for upload in sessions}


def read_numbers_of_replies(connection: sqlite3.Connection) -> dict[str, int]:
    """By session."""
    numbers = "SELECT session, count(*) FROM reply GROUP BY session"
    return dict(connection.execute(numbers).fetchall())


def _session(row: tuple[Any, ...], found: dict[str, list[spans.Span]]) -> Upload:
    *values, total = row
    fields = dict(zip(COLUMNS, values, strict=True))
    fields["want"] = {
        name: bytes.fromhex(value) for name, value in json.loads(fields["want"]).items()
    }
    fields["state"] = SessionState(fields["state"])
    fields["inode"] = int(fields["inode"])
    upload = Upload(**fields, spans=tuple(found.pop(fields["id"], ())))
    if total != sum_of_session(upload):
        raise ValueError(f"session {upload.id} has another sum")
    length = upload.length
    if not spans.in_order(upload.spans) or (
        length is not None and spans.reach(upload.spans) > length
    ):
        raise ValueError(f"ranges of {upload.id} that can not be")
    return upload


def row_of(upload: Upload) -> tuple[Any, ...]:
    """What ``read_sessions`` reads: the COLUMNS, and their sum."""
    row = {name: getattr(upload, name) for name in COLUMNS}
    row["want"] = json.dumps({name: v.hex() for name, v in upload.want.items()})
    row["state"] = str(upload.state)
    row["inode"] = str(upload.inode)  # may have 64 bits, SQLite's integers have a sign
    return (*row.values(), sum_of_session(upload))


def sum_of_session(upload: Upload) -> int:
    """Of what must be right, and does not change with every range."""
    want = sorted((name, value.hex()) for name, value in upload.want.items())
    return _sum(
        upload.id,
        upload.owner,
        upload.target,
        upload.length,
        str(upload.state),
        upload.key_hash.hex(),
        want,
        upload.replaces,
        upload.inode,
    )


def sum_of_range(session: str, start: int, end: int) -> int:
    return _sum(session, start, end)


def _sum(*values: object) -> int:
    return crc32(repr(values).encode(errors="surrogatepass"))
