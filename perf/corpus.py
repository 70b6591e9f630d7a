"""The files that are served: made once per run, random so that nothing compresses."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perf.errors import PerfError

KIB = 1024
MIB = 1024 * KIB
BLOCK_BYTES = MIB


@contextmanager
def temporary_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder in ``parent`` that every server may read; gone with the block.

    Raises:
        PerfError: nothing can be made in ``parent``.
    """
    try:
        holder = tempfile.TemporaryDirectory(prefix="perf-files-", dir=parent)
    except OSError as error:
        raise PerfError(f"--folder {parent}: {error.strerror}") from error
    with holder as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def require_space(folder: Path, wanted_bytes: int) -> None:
    """Before many files are made.

    Raises:
        PerfError: they would not fit.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < wanted_bytes:
        raise PerfError(
            f"{folder.parent} has {free_bytes / 1e9:.1f} GB left and the files need "
            f"{wanted_bytes / 1e9:.1f}: choose another --folder"
        )


def make(root: Path, size_bytes: int) -> str:
    """Make a file of ``size_bytes`` under ``root``; returns its path in URLs.

    Written just now, it is in the page cache: hot.
    """
    path = root / f"{size_bytes}.bin"
    if not path.exists():
        write(path, size_bytes, os.urandom(min(size_bytes, BLOCK_BYTES)))
    return path.name


def write(path: Path, size_bytes: int, block: bytes) -> None:
    """Fill a file with ``block``, again and again; no holes, which cost no reading."""
    with path.open("wb") as file:
        for start in range(0, size_bytes, len(block)):
            file.write(block[: size_bytes - start])
    path.chmod(0o644)


def title(size_bytes: int) -> str:
    """``1 KiB``, ``100 MiB``: whole units only, else plain bytes."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} B"
