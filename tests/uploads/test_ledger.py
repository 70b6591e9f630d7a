"""The ledger: on the disk before it is answered, one owner, and no wrong offset."""

import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from penstock.errors import PenstockError
from penstock.uploads import ledger as module, schema
from penstock.uploads.ledger import Ledger
from penstock.uploads.model import RefusedError, Reply, SessionState
from penstock.uploads.states import IllegalTransitionError, SessionEvent
from penstock.uploads.writer import Writer
from tests.uploads.stores import NOW, new_upload

DIGEST = b"d" * 32


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    with closing(Ledger(folder)) as ledger:
        yield ledger


async def fill(folder: Path) -> None:
    """Two sessions, one of them with ranges and replies."""
    with opened(folder) as ledger:
        upload = await ledger.insert(
            new_upload(
                length=10_000,
                inode=(1 << 64) - 1,
                metadata="name Zg==",
                want={"sha-256": DIGEST},
                replaces='"tag"',
            )
        )
        await ledger.record(upload, 0, 10, NOW, Reply(0, 10, DIGEST))
        await ledger.record(upload, 20, 30, NOW + 1, Reply(20, 30, None))
        await ledger.insert(new_upload("b", target=None))


async def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    await fill(tmp_path)
    with opened(tmp_path) as ledger:
        assert dict(ledger.sessions) == {
            "a": new_upload(
                length=10_000,
                inode=(1 << 64) - 1,
                metadata="name Zg==",
                want={"sha-256": DIGEST},
                replaces='"tag"',
                spans=((0, 10), (20, 30)),
                expires=NOW + 1,
            ),
            "b": new_upload("b", target=None),
        }
        assert ledger.replies("a", 0, 30) == [Reply(0, 10, DIGEST), Reply(20, 30, None)]
        assert ledger.replies("a", 1, 30) == [Reply(20, 30, None)]
        assert ledger.replies("b", 0, 30) == []
    for name in ("ledger.sqlite", "lock"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


async def test_ranges_are_joined_in_memory_and_on_the_disk_alike(
    tmp_path: Path,
) -> None:
    numbers = list(range(200))
    random.Random(1).shuffle(numbers)
    with opened(tmp_path) as ledger:
        upload = await ledger.insert(new_upload(length=2000))
        for n in numbers[:150]:
            await ledger.record(upload, n * 10, n * 10 + 10, NOW, None)
        in_memory = upload.spans
    with opened(tmp_path) as ledger:
        upload = ledger.sessions["a"]
        assert upload.spans == in_memory
        for n in numbers[150:]:
            await ledger.record(upload, n * 10, n * 10 + 10, NOW, None)
        assert upload.spans == ((0, 2000),)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM range").fetchone() == (1,)


async def test_changes_that_wait_are_one_transaction_and_one_that_fails_is_alone(
    tmp_path: Path,
) -> None:
    statements: list[str] = []
    answers: dict[str, object] = {}
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.isolation_level = None
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        connection.set_trace_callback(statements.append)
        writer = Writer(connection)
        held, release = threading.Event(), threading.Event()

        def hold(_: sqlite3.Connection) -> None:
            held.set()
            assert release.wait(10)

        def insert(n: int) -> None:
            connection.execute(f"INSERT INTO t VALUES ({n})")

        async def ask(name: str, n: int) -> None:
            try:
                await writer.do(
                    lambda _: insert(n), lambda: answers.setdefault(name, n)
                )
            except RefusedError as error:
                answers[name] = error.status

        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.do, hold, lambda: None)
            await trio.to_thread.run_sync(held.wait, 10)
            statements.clear()
            for name, n in (("one", 1), ("again", 1), ("two", 2)):
                nursery.start_soon(ask, name, n)
                await trio.testing.wait_all_tasks_blocked()
            release.set()
        writer.close()
        rows = connection.execute("SELECT n FROM t").fetchall()
    assert answers == {"one": 1, "again": 500, "two": 2}
    assert rows == [(1,), (2,)]
    assert [s for s in statements if s in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "COMMIT",
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]


async def test_a_change_counts_when_nobody_waits_for_it_any_more(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as ledger:
        upload = await ledger.insert(new_upload(length=10))
        with trio.CancelScope() as scope:
            scope.cancel()
            await ledger.record(upload, 0, 10, NOW, None)  # before it was asked for
        assert upload.spans == ()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ledger.record, upload, 0, 10, NOW, None)
            await trio.testing.wait_all_tasks_blocked(0)
            nursery.cancel_scope.cancel()
        await ledger.record(upload, 10, 10, NOW, None)  # behind it
        assert upload.spans == ((0, 10),)


async def test_states_follow_the_table_and_what_has_ended_takes_no_bytes(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as ledger:
        upload = await ledger.insert(new_upload(length=10))
        with pytest.raises(IllegalTransitionError, match="open knows no complete"):
            await ledger.move(upload, SessionEvent.COMPLETE)
        await ledger.move(upload, SessionEvent.FAIL, why="broken", expires=NOW + 5)
        with pytest.raises(RefusedError, match="not open") as refused:
            await ledger.record(upload, 0, 10, NOW, None)
        assert refused.value.status == 409
        assert upload.spans == ()
        stale = replace(upload, state=SessionState.OPEN)
        with pytest.raises(RefusedError, match="is not open any more"):
            await ledger.move(stale, SessionEvent.VERIFY)
    with opened(tmp_path) as ledger:
        upload = ledger.sessions["a"]
        assert (upload.state, upload.why, upload.expires) == (
            SessionState.FAILED,
            "broken",
            NOW + 5,
        )
        await ledger.forget(["a"])
        assert not ledger.sessions
    with opened(tmp_path) as ledger:
        assert not ledger.sessions


async def test_ranges_sessions_and_replies_have_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RANGES_MAX", 2)
    monkeypatch.setattr(module, "SESSIONS_MAX", 2)
    monkeypatch.setattr(module, "REPLIES_MAX", 2)
    with opened(tmp_path) as ledger:
        upload = await ledger.insert(new_upload(length=100))
        for start in (0, 20):
            reply = Reply(start, start + 5, None)
            await ledger.record(upload, start, start + 5, NOW, reply)
        with pytest.raises(RefusedError, match="more than 2 ranges"):
            await ledger.record(upload, 40, 45, NOW, None)
        await ledger.record(upload, 5, 20, NOW, Reply(5, 20, None))
        assert upload.spans == ((0, 25),)
        assert len(ledger.replies("a", 0, 100)) == 2
        other = await ledger.insert(new_upload("b"))
        with pytest.raises(RefusedError, match="too many uploads are open") as refused:
            await ledger.insert(new_upload("c"))
        assert refused.value.status == 507
        await ledger.move(other, SessionEvent.TERMINATE)
        other = await ledger.insert(new_upload("c"))
        assert set(ledger.sessions) == {"a", "c"}, "what has ended makes room"
        for event in (SessionEvent.VERIFY, SessionEvent.COMPLETE):
            await ledger.move(other, event)
        await ledger.insert(new_upload("d"))
        assert set(ledger.sessions) == {"a", "d"}, "and what was published"
    with opened(tmp_path) as ledger:
        await ledger.record(ledger.sessions["a"], 25, 30, NOW, Reply(25, 30, None))
        assert len(ledger.replies("a", 0, 100)) == 2, "counted at start"


async def test_one_process_owns_a_ledger(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(PenstockError, match="another server uses it"):
        Ledger(tmp_path)
    Ledger(tmp_path).close()


async def test_a_foreign_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (n)")
    before = file.read_bytes()
    with pytest.raises(PenstockError, match="another program's database: choose"):
        Ledger(tmp_path)
    assert file.read_bytes() == before


async def test_a_newer_schema_is_refused_with_its_version(tmp_path: Path) -> None:
    await fill(tmp_path)
    file = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(
        PenstockError, match=r"newer penstock \(schema 2, known here: 1"
    ):
        Ledger(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        'UPDATE range SET "end" = 15 WHERE start = 0',
        "UPDATE range SET start = 5 WHERE start = 0",
        "UPDATE range SET session = 'b' WHERE start = 0",
        "UPDATE session SET state = 'completed'",
        "UPDATE session SET state = 'nonsense'",
        "UPDATE session SET length = 7",
        "UPDATE session SET length = 'long'",
        "UPDATE session SET want = '[]'",
        "UPDATE session SET want = '{'",
        "UPDATE session SET inode = 'x'",
        "UPDATE session SET target = '../up'",
        "DELETE FROM session WHERE id = 'a'",
        "DROP TABLE range",
        "ALTER TABLE session ADD COLUMN more",
    ],
)
async def test_rows_that_were_changed_are_seen(tmp_path: Path, damage: str) -> None:
    await fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        connection.execute(damage)
        connection.commit()
    with pytest.raises(PenstockError, match=r"damaged .*: restore it from a backup"):
        Ledger(tmp_path)
    with pytest.raises(PenstockError, match="damaged"):
        Ledger(tmp_path)  # the lock was given back


@pytest.mark.parametrize(
    "content", [b"x" * 4096, b"SQLite format 3\0" + b"\xff" * 5000]
)
async def test_a_file_that_is_no_database_is_refused(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(content)
    with pytest.raises(
        PenstockError, match="restore it from a backup, or move it away"
    ):
        Ledger(tmp_path)
    assert (tmp_path / "ledger.sqlite").read_bytes() == content


async def test_damage_where_no_session_is_read_is_seen_too(tmp_path: Path) -> None:
    await fill(tmp_path)
    file = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        [size] = connection.execute("PRAGMA page_size").fetchone()
        [page] = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'reply'"
        ).fetchone()
    with file.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xa5" * size)
    with pytest.raises(PenstockError, match="damaged"):
        Ledger(tmp_path)


async def test_a_byte_that_flips_gives_no_wrong_offset(tmp_path: Path) -> None:
    """It is refused, or what it says is what was recorded."""
    await fill(tmp_path)
    file = tmp_path / "ledger.sqlite"
    whole = file.read_bytes()
    with opened(tmp_path) as ledger:
        truth = {
            upload.id: (upload.target, upload.length, upload.state, upload.spans)
            for upload in ledger.sessions.values()
        }
    random_ = random.Random(7)
    refused = 0
    for _ in range(150):
        at = random_.randrange(len(whole))
        file.write_bytes(
            whole[:at]
            + bytes([whole[at] ^ (1 << random_.randrange(8))])
            + whole[at + 1 :]
        )
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        try:
            with opened(tmp_path) as ledger:
                for upload in ledger.sessions.values():
                    said = (upload.target, upload.length, upload.state, upload.spans)
                    assert said == truth[upload.id], at
        except PenstockError:
            refused += 1
    assert refused


async def test_a_log_that_is_torn_loses_its_last_changes_only(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    with opened(tmp_path) as ledger:
        upload = await ledger.insert(new_upload(length=10_000))
        for n in range(20):
            await ledger.record(upload, n * 10, n * 10 + 10, NOW, None)
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            (copy / name).write_bytes((tmp_path / name).read_bytes())
    log = copy / "ledger.sqlite-wal"
    os.truncate(log, log.stat().st_size - 5000)
    with opened(copy) as ledger:
        [(start, end)] = ledger.sessions["a"].spans
        assert start == 0
        assert end % 10 == 0
        assert 0 < end < 200
