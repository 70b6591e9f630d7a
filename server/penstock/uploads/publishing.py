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
    depot.check_not_failed(upload)
    is_new = upload.id in depot.prepared and not upload.want
    published = not is_new and await _was_published(depot, upload)
    if upload.state is SessionState.OPEN:
        await depot.ledger.move(upload, SessionEvent.VERIFY)
        depot.step("verifying")
    if not published:
        await _verify(depot, upload)
    with trio.CancelScope(shield=True):  # only a crash stops it from here on
        if not published:
            await _prepare(depot, upload)
            await _publish(depot, upload)
        await _complete(depot, upload, may_have_part=published)


async def _was_published(depot: Depot, upload: Upload) -> bool:
    """The last time, of which not all was written down."""
    try:
        return await is_published(depot, upload)
    except OSError as error:
        raise files.refusal_of(error.errno) from None


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
        await _complete(depot, upload, may_have_part=True)
    else:
        expires = depot.expiry()
        await depot.ledger.move(upload, SessionEvent.REOPEN, expires=expires)


async def _verify(depot: Depot, upload: Upload) -> None:
    if not upload.want:
        return
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


async def _prepare(depot: Depot, upload: Upload) -> None:
    """Its part as it will be seen, and on the disk, unless it is already."""

    def prepare() -> None:
        length = upload.offset
        with depot.parts.opened(upload.id, upload.inode, length) as fd:
            public = upload.target is not None
            depot.targets.prepare(fd, length, public=public)

    if upload.id not in depot.prepared:
        try:
            await depot.in_thread(prepare)
        except (LostPartError, OSError) as error:
            raise await depot.fail(upload, f"can not be synced: {error}") from None
        depot.prepared.add(upload.id)
    depot.step("file synced")


class _UnsyncedFolderError(Exception):
    """The name is there, and may not be after a crash."""


async def _publish(depot: Depot, upload: Upload) -> None:
    """And drop its part, in one thread: each costs as much as a sync."""
    if upload.target is None:
        return
    try:
        await depot.in_thread(_give_name, depot, upload, upload.target)
    except (LostPartError, _UnsyncedFolderError) as error:
        raise await depot.fail(upload, str(error)) from None
    except RefusedError:
        await depot.ledger.move(upload, SessionEvent.REOPEN)
        raise
    except OSError as error:
        await settle(depot, upload)
        raise files.refusal_of(error.errno) from None


def _give_name(depot: Depot, upload: Upload, target: str) -> None:
    """Blocks.

    Raises:
        RefusedError, LostPartError, OSError: as ``Targets.publish``.
        _UnsyncedFolderError: it was published, and failed afterwards.
    """
    folder = depot.targets.publish(
        upload.id, upload.inode, upload.offset, target, upload.replaces
    )
    depot.step("published")
    try:
        os.fsync(folder)
    except OSError as error:
        raise _UnsyncedFolderError(f"its folder can not be synced: {error}") from None
    finally:
        os.close(folder)
    depot.step("directory synced")
    depot.parts.release(upload.id)
    depot.step("released")


async def _complete(depot: Depot, upload: Upload, *, may_have_part: bool) -> None:
    expires = depot.expiry()
    await depot.ledger.move(upload, SessionEvent.COMPLETE, expires=expires)
    depot.step("completed")
    if upload.target is None:
        return
    if may_have_part:
        await depot.release(upload)
    else:
        depot.forget(upload)
