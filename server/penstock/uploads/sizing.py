"""The length of an upload that was created without one: said once, and a bound of all
that comes, also of what is on its way."""

import errno
import os

from penstock.uploads import files, spans
from penstock.uploads.attempts import Attempts
from penstock.uploads.depot import Depot
from penstock.uploads.model import RefusedError, Upload


async def set_length(
    depot: Depot, attempts: Attempts, upload: Upload, length: int
) -> None:
    """Requests that may bring more are ended: before, so that what they brought is
    known, and again those that began meanwhile. Nobody brings more afterwards.

    Raises:
        RefusedError: 400 more is durable already, 409 it is not open or has a length,
            413, 507.
    """
    await attempts.settle(upload.id, beyond=length)
    if upload.length is not None:
        raise _has_a_length()
    if length < spans.reach(upload.spans):
        raise RefusedError(400, "shorter than what was uploaded")
    depot.space.hold(upload.id, upload.owner, length)
    try:
        await _allocate(depot, upload, length)
        await depot.ledger.set_length(upload, length)
    finally:
        held = upload.length
        if held is None:
            held = spans.reach(upload.spans)
        if depot.space.holds(upload.id):  # else it has ended meanwhile
            depot.space.restore(upload.id, upload.owner, held)
    await attempts.settle(upload.id, beyond=length)


async def _allocate(depot: Depot, upload: Upload, length: int) -> None:
    fd = await depot.open(upload)
    try:
        if depot.spare_bytes() < length - files.allocated_bytes(fd):
            raise files.refusal_of(errno.ENOSPC)
        await depot.in_thread(files.allocate, fd, length)
    except OSError as error:
        raise files.refusal_of(error.errno) from None
    finally:
        os.close(fd)


def _has_a_length() -> RefusedError:
    return RefusedError(409, "the upload has a length already")
