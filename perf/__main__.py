"""``python -m perf WORKLOAD``: the door to the harness."""

import signal
import sys
from typing import NoReturn

from cyclopts import CycloptsError
from rich.console import Console

import perf.saved
import perf.suite
import perf.workloads  # noqa: F401  # all three register their commands
from perf.cli import app
from perf.errors import PerfError

errors = Console(stderr=True)


def main() -> NoReturn:
    # A polite kill unwinds like Ctrl-C, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(app(exit_on_error=False, print_error=False))
    except PerfError as error:
        complain(str(error))
    except CycloptsError as error:
        hint = "--help behind the name of a workload shows what is possible"
        complain(f"{' '.join(str(error).split())} {hint}")
    except KeyboardInterrupt:
        sys.exit(130)


def complain(problem: str) -> NoReturn:
    # Where a line must break, the terminal does it, and no path gets a space.
    said = f"perf: error: {problem}"
    errors.print(said, highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
