"""strace beside a server: what it asks of the kernel, or answers in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Server


@contextlib.contextmanager
def traced(server: Server, *options: str, log: str = os.devnull) -> Iterator[Path]:
    """strace(1) with ``options`` until the block ends; yields its log, complete then.
    Skips where there is none, or it may not attach."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    # The sanitizers' runtime is for our process.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    process = subprocess.Popen(
        [strace, "-f", "-o", log, *options, "-p", str(server.pid)],
        env=environment,
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
