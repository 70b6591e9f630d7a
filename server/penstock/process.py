"""This process: its CPUs, its descriptors, its memory, the folder it serves."""

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import PenstockError
from penstock.limits import Limits

# Python, Trio, the admin API with its connections, listeners; measured: 20 at rest.
PROCESS_DESCRIPTORS = 64
# Ring, two mailboxes, root, /dev/null; the rest for listeners.
ENGINE_DESCRIPTORS = 8
# Its part, twice; there may be fewer, and then an upload is told to come again.
UPLOAD_DESCRIPTORS = 2
# Connections beyond ``max_connections`` that are told 503; the engine's own number.
REFUSAL_SLOTS = 64
# Cached files get up to this part of what is left.
FILES_SHARE = 4


def choose_cpus(wanted: Sequence[int] | None) -> list[int]:
    """``wanted``, or every CPU that the process may use.

    Raises:
        PenstockError: one of them is not among those.
    """
    usable = sorted(os.sched_getaffinity(0))
    missing = [str(cpu) for cpu in wanted or () if cpu not in usable]
    if missing:
        raise PenstockError(
            f"--cpus, server.cpus: this process may not use CPU {', '.join(missing)}; "
            f"possible are {','.join(map(str, usable))}"
        )
    return list(wanted or usable)


def raise_nofile() -> int:
    """Lift the soft limit of open descriptors to the hard one; returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fit_descriptors(
    limits: Limits, engines: int, nofile: int, uploads: int = 0
) -> Limits:
    """``limits`` with fewer connections and cached files where ``nofile`` open
    descriptors would not do for so many: a server that is out of them could neither
    open a file nor be asked why.

    Args:
        uploads: how many an engine takes at once.

    Raises:
        PenstockError: not even one connection would fit.
    """
    own = 2 * (limits.pipes + 1) + ENGINE_DESCRIPTORS
    each = (nofile - PROCESS_DESCRIPTORS) // engines - own
    each -= min(UPLOAD_DESCRIPTORS * uploads, max(0, each) // FILES_SHARE)
    files = min(limits.cache_entries, max(1, each // FILES_SHARE))
    connections = min(limits.max_connections, each - files - REFUSAL_SLOTS)
    if connections < 1:
        raise PenstockError(
            f"{nofile} open files are too few for {engines} engines: raise the hard "
            "limit (`ulimit -Hn`, or LimitNOFILE= in systemd), or use fewer --cpus"
        )
    fitting = {"max_connections": connections, "cache_entries": files}
    return limits.model_copy(update=fitting)


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
