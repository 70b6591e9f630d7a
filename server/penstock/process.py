"""This process: its CPUs, its descriptors, its memory, the folder it serves."""

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import PenstockError


def choose_cpus(wanted: Sequence[int] | None) -> list[int]:
    """``wanted``, or every CPU that the process may use.

    Raises:
        PenstockError: one of them is not among those.
    """
    usable = sorted(os.sched_getaffinity(0))
    missing = [str(cpu) for cpu in wanted or () if cpu not in usable]
    if missing:
        raise PenstockError(
            f"this process may not use CPU {', '.join(missing)}; "
            f"possible are {','.join(map(str, usable))}"
        )
    return list(wanted or usable)


def raise_nofile() -> int:
    """Lift the soft limit of open descriptors to the hard one; returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def open_root(root: Path) -> int:
    """A descriptor of the folder; the caller closes it.

    Raises:
        PenstockError: there is none that can be entered.
    """
    try:
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise PenstockError(
            f"{root}: can not be served: {error.strerror}; ROOT must be a folder"
        ) from None
    if not os.access(root, os.X_OK):
        os.close(fd)
        raise PenstockError(f"{root}: can not be served: this user may not enter it")
    return fd


def open_descriptors() -> int:
    """Descriptors that are open now, not counting the one that reads the list."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
