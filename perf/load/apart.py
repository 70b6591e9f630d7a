"""Runs a load as a program of its own, so that the harness' work is not in its way.

The order goes to its stdin and the result comes from its stdout, both as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perf.cpu import pinned
from perf.errors import PerfError


def start(module: str, cpus: set[int], *arguments: str) -> subprocess.Popen[str]:
    """``python -m module`` on ``cpus``, with a pipe at each of its ends."""
    with pinned(cpus):
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )


def run(
    module: str, order: Mapping[str, object], cpus: set[int], seconds: float
) -> dict[str, Any]:
    """Run ``python -m module`` on ``cpus``, for at most ``seconds``.

    Raises:
        PerfError: it failed, with its reason, or took longer.
    """
    process = start(module, cpus)
    try:
        output, errors = process.communicate(json.dumps(order), timeout=seconds)
    except subprocess.TimeoutExpired:
        raise PerfError(f"{module} took more than {seconds:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise PerfError(f"the load failed: {errors.strip()}")
    result: dict[str, Any] = json.loads(output)
    return result


def answer(work: Callable[[dict[str, Any]], Mapping[str, object]]) -> int:
    """The other side of ``run``: order from stdin, result to stdout, exit code."""
    return told(lambda: work(json.load(sys.stdin)))


def told(work: Callable[[], Mapping[str, object]]) -> int:
    """The result to stdout, or what failed to stderr; the exit code."""
    try:
        result = work()
    except (PerfError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(result, sys.stdout)
    return 0
