"""uvicorn with starlette's StaticFiles: the common way to serve files from ASGI."""

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


class Uvicorn:
    """uvicorn on uvloop and httptools, run by the harness's interpreter."""

    name = "uvicorn"

    def version(self) -> str | None:
        names = ("uvicorn", "starlette", "uvloop", "httptools")
        versions = {name: package_version(name) for name in names}
        if None in versions.values():
            return None
        return f"{versions['uvicorn']} (starlette {versions['starlette']})"

    def unfit(self, setup: Setup) -> str | None:
        return never_defers(setup) or never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        del folder
        argv = [sys.executable, "-m", "uvicorn", "--loop", "uvloop"]
        argv += ["--http", "httptools", "--ws", "none", "--lifespan", "off"]
        argv += ["--host", "127.0.0.1", "--port", str(port)]
        argv += ["--workers", str(len(setup.cpus)), "--backlog", str(BACKLOG)]
        argv += ["--timeout-keep-alive", "3600", "--no-access-log"]
        argv += ["--log-level", "critical", "--no-server-header"]
        argv += ["--no-proxy-headers", "perf.servers.apps.static_starlette:app"]
        return Launch(argv, {**repository_environment(), "PERF_ROOT": str(setup.root)})
