"""The thread that writes into the ledger: changes that wait are one transaction.

A change is a SAVEPOINT in it, so that one that fails takes no other along. Whoever
asked is answered after the COMMIT, which has synced the log to the disk.
"""

import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from penstock.uploads.model import RefusedError

log = logging.getLogger(__name__)

Change = Callable[[sqlite3.Connection], None]

CHANGES_MAX = 1024  # that wait; whoever brings more waits before it
GROUP_MAX = 256  # changes of one transaction: what the last of them waits for
# After these nobody knows what is on the disk: nothing is written until a restart,
# which reads it again.
_FATAL = {
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}


@dataclass(slots=True)
class _Job:
    change: Change
    applied: Callable[[], None]
    error: Exception | None = None
    done: trio.Event = field(default_factory=trio.Event)


class Writer:
    """Made in a Trio task; ``close`` it before its connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._token = trio.lowlevel.current_trio_token()
        self._room = trio.Semaphore(CHANGES_MAX, max_value=CHANGES_MAX)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._broken = ""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    async def do(self, change: Change, applied: Callable[[], None]) -> None:
        """Returns when ``change`` is on the disk.

        Args:
            change: called in the thread, in a transaction; what it raises undoes it,
                and is raised here.
            applied: called in Trio's thread as soon as the change is on the disk, also
                when nobody waits for it any more.

        Raises:
            RefusedError: 507 the disk is full, 500 it failed.
        """
        await self._room.acquire()
        job = _Job(change, applied)
        self._jobs.put(job)
        await job.done.wait()
        if job.error is not None:
            raise job.error

    def close(self) -> None:
        """Changes that wait are made before."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            if self._broken:
                _refuse(group, RefusedError(500, self._broken))
            else:
                self._commit(group)
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._answer, group)

    def _next_group(self) -> list[_Job]:
        """Empty at the end."""
        group: list[_Job] = []
        while len(group) < GROUP_MAX:
            try:
                job = self._jobs.get(block=not group)
            except queue.Empty:
                break
            if job is None:
                if group:
                    self._jobs.put(None)  # for the next time
                break
            group.append(job)
        return group

    def _commit(self, group: list[_Job]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._try(job)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever it was
            _refuse(group, self._refusal(error))
            self._roll_back()

    def _try(self, job: _Job) -> None:
        """A failure of the disk may have ended the transaction, and then is
        everybody's: there is no savepoint any more."""
        self._connection.execute("SAVEPOINT change")
        try:
            job.change(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            job.error = (
                self._refusal(error) if isinstance(error, sqlite3.Error) else error
            )
            self._connection.execute("ROLLBACK TO change")
        self._connection.execute("RELEASE change")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _refusal(self, error: Exception) -> RefusedError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        log.error("the ledger of uploads can not be written: %s", error)
        if code == sqlite3.SQLITE_FULL:
            return RefusedError(507, "no space is left for the ledger")
        if code in _FATAL or code & 0xFF in _FATAL:
            self._broken = "the ledger's disk has failed"
            log.critical("uploads are refused until a restart, which reads it again")
        return RefusedError(500, "the ledger can not be written")

    def _answer(self, group: list[_Job]) -> None:
        for job in group:
            self._room.release()
            if job.error is None:
                job.applied()
            job.done.set()


def _refuse(group: list[_Job], refusal: RefusedError) -> None:
    for job in group:
        job.error = job.error or refusal
