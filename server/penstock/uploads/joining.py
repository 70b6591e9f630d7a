"""One upload of the bytes of others, copied by the kernel."""

import os
from collections.abc import Sequence

from penstock.uploads import files
from penstock.uploads.depot import Depot
from penstock.uploads.model import Upload


async def copy_parts(depot: Depot, upload: Upload, parts: Sequence[Upload]) -> None:
    """In this order from its beginning, durable when it returns.

    Raises:
        RefusedError: 507 no space, 500 a part is lost or the disk failed.
    """
    at = 0
    fd = await depot.open(upload)
    try:
        for part in parts:
            await _copy(depot, part, fd, at)
            at += part.offset
        depot.step("copied")
        await depot.make_durable(upload, fd, 0, at, None)
    except OSError as error:
        raise files.refusal_of(error.errno) from None
    finally:
        os.close(fd)


async def _copy(depot: Depot, part: Upload, fd: int, at: int) -> None:
    source = await depot.open(part)
    try:
        await depot.copy(source, fd, at, part.offset)
    finally:
        os.close(source)
