"""Where finished uploads appear: paths below the served root, and no other.

Each folder on the way is opened in the one before, and no symbolic link is followed: a
name can not lead out of the root, whatever changes meanwhile.
"""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock.errors import PenstockError
from penstock.uploads.fields import shown
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
        self._file_system = _file_system(self._root)
        self._naming = threading.Lock()
        if self._file_system != _file_system(parts.fd):
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
            RefusedError: 400 the path, 409 the name is taken or on another file system,
                412 another file has it.
            OSError: it can not be known.
        """
        *folders, name = names_of(target)
        folder, depth = self._walk(folders)
        try:
            self._check_file_system(folder, folders[:depth])
            found = _stat(name, folder) if depth == len(folders) else None
        finally:
            os.close(folder)
        _judge(found, replaces)

    def has(self, target: str, inode: int) -> bool:
        """Whether it is this file; if so, its name is on the disk.

        Raises:
            OSError: it can not be known.
        """
        *folders, name = names_of(target)
        try:
            with self._folder(folders) as fd:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if not _is_part(found, inode):
                    return False
                if _file_system(fd) != self._file_system:
                    return False  # the same number means nothing there
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

    def publish(
        self,
        upload_id: str,
        inode: int,
        length: int,
        target: str,
        replaces: str | None,
    ) -> int:
        """Give the part its name, if it has not got it; returns a descriptor of the
        folder, which is not synced yet. Folders on the way are made, and are on the
        disk. A part that is linked is there still.

        Raises:
            RefusedError: as ``check``.
            LostPartError: the part is shorter, or another file had its name. That has
                not the target's, unless it replaced what was there.
            OSError: it could not be done.
        """
        *folders, name = names_of(target)
        # What is returned is opened before: an error after the name is there says
        # nothing of it.
        folder = self._open_folder(folders, make=True)
        try:
            self._check_file_system(folder, folders)
            with self._naming:  # so that nobody replaces what is looked at
                found = _stat(name, folder)
                if found is None or not _is_part(found, inode):
                    _judge(found, replaces)
                    self._parts.check(upload_id, inode, length)
                    self._give_name(
                        part_name(upload_id), folder, [*folders, name], replaces
                    )
                    _check_named(name, folder, inode, replaces)
        except BaseException:
            os.close(folder)
            raise
        return folder

    def _give_name(
        self, part: str, folder: int, names: list[str], replaces: str | None
    ) -> None:
        """Only a replacing one may take a name that exists: link(2) never does."""
        parts, name = self._parts.fd, names[-1]
        try:
            if replaces is None:
                os.link(
                    part,
                    name,
                    src_dir_fd=parts,
                    dst_dir_fd=folder,
                    follow_symlinks=False,
                )
            else:
                os.rename(part, name, src_dir_fd=parts, dst_dir_fd=folder)
        except FileExistsError:
            raise RefusedError(409, "a file of this name exists") from None
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise _elsewhere(names[:-1]) from None
            raise

    def prepare(self, fd: int, length: int, *, public: bool) -> None:
        """The part as it will be seen: its size, its mode if it will be ``public``, and
        nothing unsynced.

        Raises:
            OSError: it is not on the disk.
        """
        if os.fstat(fd).st_size > length:  # of a request that was forgotten
            os.ftruncate(fd, length)
        if public:
            os.fchmod(fd, self._mode)
        os.fsync(fd)

    def _check_file_system(self, folder: int, names: list[str]) -> None:
        """Raises RefusedError: 409, a part can not be linked there."""
        if _file_system(folder) != self._file_system:
            raise _elsewhere(names)

    @contextlib.contextmanager
    def _folder(self, names: list[str]) -> Iterator[int]:
        fd = self._open_folder(names)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_folder(self, names: list[str], *, make: bool = False) -> int:
        fd, depth = self._walk(names, make=make)
        if depth < len(names):
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return fd

    def _walk(self, names: list[str], *, make: bool = False) -> tuple[int, int]:
        """From the root on: a descriptor of the last folder that is there, and how many
        there are."""
        fd = os.dup(self._root)
        try:
            for depth, name in enumerate(names):
                if make:
                    _make_folder(name, fd)
                try:
                    below = os.open(name, _FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    return fd, depth
                os.close(fd)
                fd = below
        except BaseException:
            os.close(fd)
            raise
        return fd, len(names)


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


def _is_part(found: os.stat_result, inode: int) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_ino == inode


def _check_named(name: str, folder: int, inode: int, replaces: str | None) -> None:
    """Who may write among the parts can put another file in a part's place."""
    found = _stat(name, folder)
    if found is None or _is_part(found, inode):
        return
    if replaces is None:
        os.unlink(name, dir_fd=folder)
        raise LostPartError("another file had its part's name, and was not published")
    raise LostPartError("another file had its part's name: look at what it replaced")


def _elsewhere(folders: list[str]) -> RefusedError:
    return RefusedError(
        409,
        f"the folder {shown('/'.join(folders))} is on another file system than "
        "uploads, which can not be published there",
    )


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
    except (FileNotFoundError, PermissionError):
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
