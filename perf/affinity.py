"""Sets from outside where a server's threads may run."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from perf.cpu import process_tree


def threads(pid: int, proc: Path = Path("/proc")) -> Iterator[int]:
    """All threads of a process and its descendants, but for io_uring's own workers,
    which cannot be moved and follow their ring's thread."""
    for member in process_tree(pid):
        for task in sorted((proc / str(member) / "task").iterdir()):
            with suppress(OSError):  # it ended meanwhile
                if not (task / "comm").read_text().startswith("iou-"):
                    yield int(task.name)


def spread(pid: int, cpus: Sequence[int], *, pinned: bool) -> int:
    """Pin each thread to one core, round robin, or let each run on all of them.

    Returns how many threads there were.
    """
    count = 0
    for thread in threads(pid):
        wanted = {cpus[count % len(cpus)]} if pinned else set(cpus)
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, wanted)
            count += 1
    return count
