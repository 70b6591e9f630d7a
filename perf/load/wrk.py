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
TIMEOUT_SECONDS = 10
"""A response later than this is a failure. wrk's own 2 s would be too few for thousands
of connections to a slow server."""
_ERROR_LINES = ("Socket errors:", "Non-2xx or 3xx responses:")


@dataclass(frozen=True, slots=True)
class Load:
    """What one wrk thread asks for, over how many connections."""

    url: str
    connections: int
    cpu: int  # to which wrk is pinned
    keep_alive: bool = True  # False: a new connection for every request


@dataclass(frozen=True, slots=True)
class WrkRun:
    requests: int
    seconds: float
    cpu_ns: int  # of wrk itself


def version() -> str | None:
    return first_line(["wrk", "-v"]).split(" [")[0] if shutil.which("wrk") else None


def run(load: Load, seconds: int) -> WrkRun:
    """Run one wrk thread for so long.

    Raises:
        PerfError: wrk is missing, or not every response was a success.
    """
    if shutil.which("wrk") is None:
        raise PerfError("wrk is not installed (Debian package wrk)")
    argv = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s"]
    argv += ["--timeout", f"{TIMEOUT_SECONDS}s"]
    argv += [] if load.keep_alive else ["--header", "Connection: close"]
    with pinned({load.cpu}):
        process = subprocess.Popen(
            [*argv, load.url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    before_ns = _children_cpu_ns()
    try:
        output, _ = process.communicate(timeout=seconds + _GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        raise PerfError(
            f"wrk did not end {_GRACE_SECONDS:g} s after its time"
        ) from None
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
