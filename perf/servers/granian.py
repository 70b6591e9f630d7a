"""granian, tuned for static files: its workers serve them without entering Python."""

import sys
from pathlib import Path

from perf.servers.base import (
    Launch,
    Setup,
    never_defers,
    never_paces,
    package_version,
    repository_environment,
)

BACKLOG = 16384


class Granian:
    """granian from PyPI, run by the harness's interpreter; one worker per core.

    Files are read by blocking threads: more than one for a core makes 1 KiB cost up to
    a third more CPU, and 100 MiB no less.
    """

    name = "granian"

    def version(self) -> str | None:
        return package_version("granian")

    def unfit(self, setup: Setup) -> str | None:
        return never_defers(setup) or never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        del folder
        argv = [sys.executable, "-m", "granian", "--interface", "rsgi"]
        argv += ["--host", "127.0.0.1", "--port", str(port)]
        argv += ["--workers", str(len(setup.cpus)), "--http", "1", "--no-ws"]
        argv += ["--runtime-mode", "st", "--runtime-blocking-threads", "1"]
        argv += ["--loop", "uvloop"]
        argv += ["--backlog", str(BACKLOG), "--backpressure", str(BACKLOG)]
        argv += ["--no-log", "--no-access-log", "--static-path-expires", "0"]
        argv += ["--static-path-route", ""]  # "/" would ask for //path
        argv += ["--static-path-mount", str(setup.root)]
        argv += ["perf.servers.apps.nothing:app"]
        return Launch(argv, repository_environment())
