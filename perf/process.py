"""Child processes that never outlive their measurement."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from perf.cpu import pinned
from perf.errors import PerfError

STOP_SECONDS = 10.0
"""How long a server may take to end by itself before it is killed."""
_LOG_TAIL_BYTES = 2000


def raise_open_files() -> int:
    """Raise our soft limit of open files, and that of all children, to the hard one.

    Returns:
        The limit that is in force now.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextmanager
def child(
    argv: Sequence[str],
    *,
    cpus: set[int],
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` pinned to ``cpus`` in its own process group until the block ends.

    It is told to end by SIGTERM also when the harness itself is killed.
    """
    with pinned(cpus), log.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,  # Ctrl-C is for the harness, which then stops us
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its whole group, politely first."""
    _signal_one(process, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _kill_group(process)
        process.wait()


def _signal_one(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Workers that lost their master are still in the group it led."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(
    process: subprocess.Popen[bytes],
    probe: Callable[[], bool],
    *,
    seconds: float,
    log: Path,
) -> None:
    """Call ``probe`` until it holds.

    Raises:
        PerfError: the process ended, or was not ready in time; with its last words.
    """
    deadline = time.monotonic() + seconds
    while not probe():
        if process.poll() is not None:
            raise PerfError(f"the server ended at once:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise PerfError(f"the server was not ready in {seconds:g} s:\n{tail(log)}")
        time.sleep(0.02)


def tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
