"""Where finished uploads appear: paths below the served root, and no other.

Each folder on the way is opened in the one before, and no symbolic link is followed: a
name can not lead out of the root, whatever changes meanwhile.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock.errors import PenstockError
from penstock.uploads.model import RefusedError
from penstock.uploads.names import names_of
from penstock.uploads.parts import LostPartError, Parts, part_name

_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER_MODE: Final = 0o777  # less the umask
_FILE_MODE: Final = 0o644
# Nothing, or something else, has the name; all else leaves open what has it.
_NOT_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
ANY_ETAG: Final = "*"


class Targets:
    """The served root. Every call blocks.

    Raises:
        PenstockError: uploads can not be published from ``parts`` into it, or their
            folder would be served.
    """

    def __init__(self, root: Path, folder: Path, parts: Parts) -> None:
        _check_hidden(root, folder)
        umask = os.umask(0o077)
        os.umask(umask)
        self._mode = _FILE_MODE & ~umask
        self._parts = parts
        self._root = os.open(root, os.O_DIRECTORY | os.O_CLOEXEC)
        if _file_system(self._root) != _file_system(parts.fd):
            self.close()
            raise PenstockError(
                f"uploads.directory: {folder}: is on another file system than {root}, "
                "where finished uploads are linked: choose one on the same mount"
            )

    def close(self) -> None:
        os.close(self._root)

    def check(self, target: str, replaces: str | None) -> None:
        """Whether ``publish`` would be allowed now.

        Raises:
            RefusedError: 400 the path, 409 the name is taken, 412 another file has it.
            OSError: it can not be known.
        """
        _judge(self._find(target), replaces)

    def has(self, target: str, inode: int) -> bool:
        """Whether it is this file; if so, its name is on the disk.

        Raises:
            OSError: it can not be known.
        """
        *folders, name = names_of(target)
        try:
            with self._folder(folders) as fd:
                if os.stat(name, dir_fd=fd, follow_symlinks=False).st_ino != inode:
                    return False
                os.fsync(fd)
                return True
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise

    def open(self, target: str, inode: int) -> int:
        """To read this file.

        Raises:
            LostPartError: another one has its name.
            OSError: none has it.
        """
        *folders, name = names_of(target)
        with self._folder(folders) as folder:
            fd = os.open(name, _READ, dir_fd=folder)
        if os.fstat(fd).st_ino != inode:
            os.close(fd)
            raise LostPartError("another file has its name")
        return fd

    def publish(self, upload_id: str, target: str, replaces: str | None) -> int:
        """Give the part its name; returns a descriptor of the folder, which is not
        synced yet. Folders on the way are made, and are on the disk. A part that is
        linked is there still.

        Raises:
            RefusedError: as ``check``.
            OSError: it could not be done.
        """
        *folders, name = names_of(target)
        part = part_name(upload_id)
        # What is returned is opened before: once the name is there, nothing may fail.
        folder = self._open_folder(folders, make=True)
        try:
            _judge(_stat(name, folder), replaces)
            # Only a replacing one may take a name that exists: link(2) never does.
            if replaces is None:
                try:
                    os.link(part, name, src_dir_fd=self._parts.fd, dst_dir_fd=folder)
                except FileExistsError:
                    raise RefusedError(409, "a file of this name exists") from None
            else:
                os.rename(part, name, src_dir_fd=self._parts.fd, dst_dir_fd=folder)
        except BaseException:
            os.close(folder)
            raise
        return folder

    def prepare(self, fd: int, length: int) -> None:
        """The part as it will be seen: its size, its mode, and nothing unsynced.

        Raises:
            OSError: it is not on the disk.
        """
        if os.fstat(fd).st_size > length:  # of a request that was forgotten
            os.ftruncate(fd, length)
        os.fchmod(fd, self._mode)
        os.fsync(fd)

    def _find(self, target: str) -> os.stat_result | None:
        *folders, name = names_of(target)
        try:
            with self._folder(folders) as fd:
                return _stat(name, fd)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _folder(self, names: list[str]) -> Iterator[int]:
        fd = self._open_folder(names)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_folder(self, names: list[str], *, make: bool = False) -> int:
        """From the root on."""
        fd = os.dup(self._root)
        try:
            for name in names:
                if make:
                    _make_folder(name, fd)
                below = os.open(name, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = below
        except BaseException:
            os.close(fd)
            raise
        return fd


def etag_of(found: os.stat_result) -> str:
    """As the engine writes it (``file_describe``)."""
    return f'"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"'


def _stat(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _judge(found: os.stat_result | None, replaces: str | None) -> None:
    if replaces is None:
        if found is not None:
            raise RefusedError(409, "a file of this name exists")
        return
    if found is None or not stat.S_ISREG(found.st_mode):
        raise RefusedError(412, "there is no file to replace")
    if replaces not in (ANY_ETAG, etag_of(found)):
        raise RefusedError(412, "the file is another one by now")


def _make_folder(name: str, parent: int) -> None:
    """Synced also if it was there: who made it may not have come that far."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, _FOLDER_MODE, dir_fd=parent)
    os.fsync(parent)


def _file_system(fd: int) -> tuple[int, str]:
    """Its device, and its mount as far as that is known: link(2) leads into no other
    mount, even of the same device."""
    device = os.fstat(fd).st_dev
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    except OSError:
        return device, ""
    return device, next((line for line in lines if line.startswith("mnt_id:")), "")


def _check_hidden(root: Path, folder: Path) -> None:
    root, folder = root.resolve(), folder.resolve()
    if not folder.is_relative_to(root):
        return
    if not any(name.startswith(".") for name in folder.relative_to(root).parts):
        raise PenstockError(
            f"uploads.directory: {folder}: would be served: choose one outside {root}, "
            "or a hidden name in it"
        )
