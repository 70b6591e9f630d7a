"""wrk as the load: keep-alive connections that ask again as soon as they are served."""

import re
import resource
import shutil
import signal
import subprocess
from dataclasses import dataclass

from perf.cpu import pinned
from perf.errors import PerfError
from perf.servers.base import first_line

_GRACE_SECONDS = 15.0
"""wrk ends by itself after its duration; more than this late means it hangs."""
_ERROR_LINES = ("Socket errors:", "Non-2xx or 3xx responses:")


@dataclass(frozen=True, slots=True)
class WrkRun:
    requests: int
    seconds: float
    cpu_ns: int  # of wrk itself


def version() -> str | None:
    return first_line(["wrk", "-v"]).split(" [")[0] if shutil.which("wrk") else None


def run(url: str, *, connections: int, seconds: int, cpu: int) -> WrkRun:
    """Load ``url`` with one wrk thread pinned to ``cpu``.

    Raises:
        PerfError: wrk is missing, or not every response was a success.
    """
    if shutil.which("wrk") is None:
        raise PerfError("wrk is not installed (Debian package wrk)")
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    with pinned({cpu}):
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    before_ns = _children_cpu_ns()
    try:
        output, _ = process.communicate(timeout=seconds + _GRACE_SECONDS)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    return parse(output, cpu_ns=_children_cpu_ns() - before_ns)


def _children_cpu_ns() -> int:
    """CPU time of all children that ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def parse(output: str, *, cpu_ns: int) -> WrkRun:
    """Read wrk's summary.

    Raises:
        PerfError: it reports errors, or is not wrk's summary at all.
    """
    for line in output.splitlines():
        if line.strip().startswith(_ERROR_LINES):
            raise PerfError(f"wrk saw failures: {line.strip()}")
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", output)
    if found is None:
        raise PerfError(f"wrk said nothing usable:\n{output.strip()}")
    unit = {"ms": 1e-3, "s": 1.0, "m": 60.0}[found[3]]
    seconds = float(found[2]) * unit
    return WrkRun(int(found[1]), seconds, cpu_ns)
