"""Takes files out of the page cache, and looks whether they are out.

posix_fadvise(2) with POSIX_FADV_DONTNEED drops the pages that are clean and that
nobody uses; file systems that live in memory keep theirs, and say nothing. mincore(2)
tells what is still there, without reading it.
"""

import ctypes
import mmap
import os
import time
from collections.abc import Sequence
from pathlib import Path

from perf.errors import PerfError

RESIDENT_SHARE_MAX = 0.01
"""So much may stay behind, for example in the kernel's per-CPU lists."""
_TRIES = 20
_PAUSE_SECONDS = 0.05  # a server's last pages may still be on their way to us


def drop(paths: Sequence[Path]) -> None:
    """Write the files to disk, then take them out of memory.

    Raises:
        PerfError: they stay there, as they do on tmpfs.
    """
    for path in paths:
        _drop_one(path)
    for attempt in range(_TRIES):
        there = [path for path in paths if resident_share(path) > RESIDENT_SHARE_MAX]
        if not there:
            return
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        for path in there:
            _drop_one(path)
    raise PerfError(
        f"the file system of {paths[0].parent} keeps files in memory whatever one asks "
        "(tmpfs does, and some overlays): choose a --folder on a disk"
    )


def _drop_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def resident_share(path: Path) -> float:
    """Share of a file's pages that are in the page cache; it must not be empty."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file:
        # Private and writable, because ctypes hands out no read-only address.
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    pages = -(-len(mapping) // mmap.PAGESIZE)
    states = (ctypes.c_ubyte * pages)()
    first = ctypes.c_char.from_buffer(mapping)
    try:
        length = ctypes.c_size_t(len(mapping))
        if libc.mincore(ctypes.byref(first), length, states) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        del first  # it holds the mapping
        mapping.close()
    return sum(state & 1 for state in states) / pages
