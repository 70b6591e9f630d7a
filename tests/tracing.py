"""strace beside a server: what it asks of the kernel, or answers in its place."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving import Server, of_others

_CALL = re.compile(
    r"(?P<thread>\d+) +(?:(?P<at>\d+\.\d+) )?"
    r"(?P<name>\w+)\((?:\d+<(?P<path>[^>]*)>)?(?P<rest>.*)$"
)
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)$")


@dataclass(frozen=True)
class Call:
    """
    Attributes:
        at: when it began, in seconds since 1970, where ``-ttt`` asked for that.
        path: of the descriptor that comes first, where ``-y`` asked for that.
        rest: of the line.
    """

    thread: int
    at: float
    name: str
    path: str
    rest: str


def calls(log: Path) -> Iterator[Call]:
    """Each where it returned."""
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        thread = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>")
            continue
        resumed = _RESUMED.search(line)
        found = _CALL.match(begun.pop(thread, "") + resumed[1] if resumed else line)
        if found:
            at, path = float(found["at"] or 0), found["path"] or ""
            yield Call(int(found["thread"]), at, found["name"], path, found["rest"])


@contextlib.contextmanager
def traced(server: Server, *options: str, log: str = os.devnull) -> Iterator[Path]:
    """strace(1) with ``options`` until the block ends; yields its log, complete then.
    Skips where there is none, or it may not attach."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    process = subprocess.Popen(
        [strace, "-f", "-o", log, *options, "-p", str(server.pid)],
        env=of_others(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        if "attached" not in said:
            pytest.skip(f"strace can not attach: {said.strip()}")
        yield Path(log)
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def failing(call: str, error: str) -> tuple[str, ...]:
    """Options that let every ``call`` fail with ``error``."""
    return ("-e", f"trace={call}", "-e", f"inject={call}:error={error}")
