"""How often a server went to sleep, and so was woken again (proc_pid_status(5))."""

import re
from contextlib import suppress
from pathlib import Path

from perf.affinity import threads

_VOLUNTARY = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)


def sleeps(pid: int, proc: Path = Path("/proc")) -> int:
    """Voluntary context switches of all threads of a process and its descendants, so
    far; io_uring's own workers not included."""
    total = 0
    for thread in threads(pid, proc):
        with suppress(OSError):  # it ended meanwhile
            found = _VOLUNTARY.search((proc / str(thread) / "status").read_text())
            total += int(found[1]) if found else 0
    return total
