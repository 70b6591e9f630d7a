"""aiohttp's web.static: files leave by loop.sendfile() where the loop has it."""

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

ASYNCIO_FROM_BYTES = 64 * 1024
"""From here on asyncio's loop, which has sendfile; below, uvloop, which has not."""


class Aiohttp:
    """aiohttp from PyPI, run by the harness's interpreter; one process per core."""

    name = "aiohttp"

    def version(self) -> str | None:
        if package_version("uvloop") is None:
            return None
        return package_version("aiohttp")

    def unfit(self, setup: Setup) -> str | None:
        return never_defers(setup) or never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        del folder
        loop = "asyncio" if setup.body_bytes >= ASYNCIO_FROM_BYTES else "uvloop"
        argv = [sys.executable, "-m", "perf.servers.apps.static_aiohttp"]
        argv += [str(setup.root), str(port), str(len(setup.cpus)), loop]
        return Launch(argv, repository_environment())
