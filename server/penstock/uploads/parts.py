"""Part files: ``ID.part`` in the folder of uploads, for its owner alone.

Their size says what was written, while space for the rest is reserved behind it.
"""

import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from penstock.errors import PenstockError
from penstock.uploads import files
from penstock.uploads.model import NO_FD, RefusedError

log = logging.getLogger(__name__)

SUFFIX: Final = ".part"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MODE: Final = 0o600
_DIRECT: Final = (
    os.O_WRONLY | os.O_DIRECT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
)
_WRITTEN_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LostPartError(Exception):
    """The part is not what was written: gone, another file, or shorter."""


class Parts:
    """The folder, which is made if it is not there. Every call blocks.

    Attributes:
        fd: of the folder.

    Raises:
        PenstockError: it can not be used.
    """

    def __init__(self, folder: Path) -> None:
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                sync_folder(folder.parent)
            self.fd = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise PenstockError(
                f"uploads.directory: {folder}: {error.strerror}; it must be a folder "
                "that this user may write"
            ) from None
        if why := _unsafe(os.fstat(self.fd), folder):
            self.close()
            raise PenstockError(f"uploads.directory: {folder}: {why}")

    def close(self) -> None:
        os.close(self.fd)

    def create(self, upload_id: str, length: int) -> int:
        """Its inode. File and name are on the disk, with space for ``length`` bytes
        where the file system can reserve it.

        Raises:
            OSError: as of ENOSPC; nothing is left of it.
        """
        name = part_name(upload_id)
        fd = os.open(name, _NEW, _MODE, dir_fd=self.fd)
        try:
            files.allocate(fd, length)
            os.fsync(fd)
            os.fsync(self.fd)
            return os.fstat(fd).st_ino
        except BaseException:
            os.unlink(name, dir_fd=self.fd)
            raise
        finally:
            os.close(fd)

    @contextmanager
    def opened(self, upload_id: str, inode: int, length: int) -> Iterator[int]:
        """As ``open``."""
        fd = self.open(upload_id, inode, length)
        try:
            yield fd
        finally:
            os.close(fd)

    def open(self, upload_id: str, inode: int, length: int) -> int:
        """A descriptor to read and write.

        Raises:
            LostPartError: it has another inode, or fewer than ``length`` bytes.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(part_name(upload_id), flags, dir_fd=self.fd)
        except FileNotFoundError:
            raise LostPartError("its part file is gone") from None
        try:
            _check(os.fstat(fd), inode, length)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def open_both(
        self, upload_id: str, inode: int, length: int, direct: bool
    ) -> tuple[int, int]:
        """As ``open``; and one to write past the page cache, or NO_FD."""
        fd = self.open(upload_id, inode, length)
        return fd, self._open_direct(upload_id, inode) if direct else NO_FD

    def _open_direct(self, upload_id: str, inode: int) -> int:
        """NO_FD where the file system has no such way, or no descriptor is left."""
        try:
            fd = os.open(part_name(upload_id), _DIRECT, dir_fd=self.fd)
        except OSError:
            return NO_FD
        if os.fstat(fd).st_ino != inode:
            os.close(fd)
            return NO_FD
        return fd

    def check(self, upload_id: str, inode: int, length: int) -> None:
        """As ``open``, without."""
        name = part_name(upload_id)
        try:
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            raise LostPartError("its part file is gone") from None
        _check(found, inode, length)

    def drop(self, upload_id: str) -> None:
        try:
            os.unlink(part_name(upload_id), dir_fd=self.fd)
        except FileNotFoundError:
            return

    def release(self, upload_id: str) -> None:
        """As ``drop``; what can not be dropped now, the next start drops."""
        try:
            self.drop(upload_id)
        except OSError as error:
            log.warning("the part file of upload %s stays: %s", upload_id, error)

    def ids(self) -> set[str]:
        """Of all parts that are there."""
        with os.scandir(self.fd) as entries:
            names = [Path(entry.name) for entry in entries]
        return {n.stem for n in names if n.suffix == SUFFIX and _ID.fullmatch(n.stem)}

    def sync(self) -> None:
        os.fsync(self.fd)

    def free_bytes(self) -> int:
        """What the file system has left for this user."""
        found = os.fstatvfs(self.fd)
        return found.f_bavail * found.f_frsize


def part_name(upload_id: str) -> str:
    """Raises RefusedError: 404, no upload can have this id."""
    if not _ID.fullmatch(upload_id):
        raise RefusedError(404, "no such upload")
    return f"{upload_id}{SUFFIX}"


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unsafe(found: os.stat_result, folder: Path) -> str:
    """Whoever may write here chooses what is published."""
    user = os.geteuid()
    if found.st_uid not in (user, 0):
        return (
            f"belongs to another user, who could change uploads: chown {user} {folder}"
        )
    if found.st_mode & _WRITTEN_BY_OTHERS:
        return f"others may write in it, and change uploads: chmod 700 {folder}"
    return ""


def _check(found: os.stat_result, inode: int, length: int) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_ino != inode:
        raise LostPartError("its part file is another file")
    if found.st_size < length:
        raise LostPartError(
            f"its part file has {found.st_size} bytes, and should have {length}"
        )
