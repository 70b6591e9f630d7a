"""The end of an upload that is whole: verified, synced, linked into the served root.

The ledger says VERIFYING before its name appears, and COMPLETED when that is on the
disk: after a crash it can be told how far it came.
"""

import logging
import os

import trio

from penstock.uploads import digests, files
from penstock.uploads.depot import Depot
from penstock.uploads.model import RefusedError, SessionState, Upload
from penstock.uploads.parts import LostPartError
from penstock.uploads.states import SessionEvent

log = logging.getLogger(__name__)


async def finish(depot: Depot, upload: Upload) -> None:
    """One that is OPEN or VERIFYING, and whole. Its ``finishing`` lock is held.

    Raises:
        RefusedError: 422 it is not what was wanted, and has failed; 409, 412, 403 or
            507 it can not have its name now, and is open again; 500 the disk failed.
    """
    try:
        published = await is_published(depot, upload)  # the last time
    except OSError as error:
        raise files.refusal_of(error.errno) from None
    if upload.state is SessionState.OPEN:
        await depot.ledger.move(upload, SessionEvent.VERIFY)
        depot.step("verifying")
    if published:
        await _complete(depot, upload)
        return
    await _verify(depot, upload)
    with trio.CancelScope(shield=True):  # only a crash stops it from here on
        await _sync(depot, upload)
        if upload.target is not None:
            await _publish(depot, upload, upload.target)
        await _complete(depot, upload)


async def is_published(depot: Depot, upload: Upload) -> bool:
    """Its name is there, and on the disk.

    Raises:
        OSError: it can not be known.
    """
    if upload.target is None:
        return False
    return await depot.in_thread(depot.targets.has, upload.target, upload.inode)


async def settle(depot: Depot, upload: Upload) -> None:
    """Of one that is VERIFYING, and that nobody finishes: what came of it. It stays so
    where that can not be known."""
    try:
        published = await is_published(depot, upload)
    except OSError as error:
        log.warning("is upload %s published? it can not be known: %s", upload.id, error)
        return
    if published:
        await _complete(depot, upload)
    else:
        expires = depot.expiry()
        await depot.ledger.move(upload, SessionEvent.REOPEN, expires=expires)


async def _verify(depot: Depot, upload: Upload) -> None:
    fd = await depot.open(upload)
    try:
        found = await depot.digests(fd, 0, upload.offset, upload.want)
    except (digests.ShortFileError, OSError) as error:
        raise await depot.fail(upload, f"can not be read: {error}") from None
    finally:
        os.close(fd)
    if wrong := digests.differing(upload.want, found):
        why = f"it has another {', '.join(wrong)} than was announced"
        await depot.end(upload, SessionEvent.FAIL, why=why)
        raise RefusedError(422, why)
    depot.step("verified")


async def _sync(depot: Depot, upload: Upload) -> None:
    def prepare() -> None:
        length = upload.offset
        with depot.parts.opened(upload.id, upload.inode, length) as fd:
            depot.targets.prepare(fd, length)

    try:
        await depot.in_thread(prepare)
    except (LostPartError, OSError) as error:
        raise await depot.fail(upload, f"can not be synced: {error}") from None
    depot.step("file synced")


async def _publish(depot: Depot, upload: Upload, target: str) -> None:
    try:
        folder = await depot.in_thread(
            depot.targets.publish, upload.id, upload.inode, target, upload.replaces
        )
    except LostPartError as error:
        raise await depot.fail(upload, str(error)) from None
    except RefusedError:
        await depot.ledger.move(upload, SessionEvent.REOPEN)
        raise
    except OSError as error:
        await settle(depot, upload)
        raise files.refusal_of(error.errno) from None
    depot.step("published")
    try:
        await depot.in_thread(os.fsync, folder)
    except OSError as error:
        why = f"its folder can not be synced: {error}"
        raise await depot.fail(upload, why) from None
    finally:
        os.close(folder)
    depot.step("directory synced")


async def _complete(depot: Depot, upload: Upload) -> None:
    expires = depot.expiry()
    await depot.ledger.move(upload, SessionEvent.COMPLETE, expires=expires)
    depot.step("completed")
    if upload.target is not None:
        await depot.release(upload)
        depot.step("released")
