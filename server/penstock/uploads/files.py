"""Calls on files that Python has not, and what their errors mean for a client."""

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Final

from penstock.uploads.model import RefusedError

COPY_BYTES: Final = 256 << 20  # between two of them it can be given up
# FALLOC_FL_KEEP_SIZE: blocks are reserved, and the size says what was written.
_KEEP_SIZE: Final = 1
_BLOCK_BYTES: Final = 512  # of st_blocks, everywhere on Linux
# The disk itself does not work, rather than that something is not possible now.
BROKEN: Final = {errno.EIO, errno.EUCLEAN, errno.ENODEV, errno.ENXIO}
_NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE}
_NO_FOLDER = {errno.ENOTDIR, errno.ELOOP, errno.EEXIST, errno.EISDIR}

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def allocate(fd: int, length: int) -> bool:
    """Reserve blocks for ``length`` bytes, of which none is written yet; False where
    the file system can not, and the file is sparse.

    Raises:
        OSError: there are not so many.
    """
    while _fallocate is not None and length:
        if _fallocate(fd, _KEEP_SIZE, 0, length) == 0:
            return True
        code = ctypes.get_errno()
        if code in _NOT_SUPPORTED:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return not length


def allocated_bytes(fd: int) -> int:
    """What the file system has put aside for it."""
    return os.fstat(fd).st_blocks * _BLOCK_BYTES


def copy(
    source: int, target: int, at: int, length: int, proceed: Callable[[], None]
) -> None:
    """The first ``length`` bytes of a file to ``at`` in another, by the kernel.

    Args:
        proceed: called now and then; raises when nobody waits any more.

    Raises:
        OSError: it can not, or the source ends before (ENODATA).
    """
    done = 0
    while done < length:
        proceed()
        most = min(length - done, COPY_BYTES)
        n = os.copy_file_range(source, target, most, done, at + done)
        if n == 0:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        done += n


def refusal_of(code: int | None) -> RefusedError:
    """What a client is told of an error of the file system: nothing of its paths."""
    if code in _NO_SPACE:
        return RefusedError(507, "no space is left")
    if code in _NOT_ALLOWED:
        return RefusedError(403, "the server may not write there")
    if code in _NO_FOLDER:
        return RefusedError(409, "something else has the name of the file or a folder")
    if code in _NO_DESCRIPTOR:
        return RefusedError(
            503,
            "the server has too many open files: try again",
            [("Retry-After", "1")],
        )
    if code == errno.ENAMETOOLONG:
        return RefusedError(400, "the name is too long")
    if code == errno.EBADMSG:
        return RefusedError(400, "the body's chunks are broken")
    return RefusedError(500, "the disk failed")
