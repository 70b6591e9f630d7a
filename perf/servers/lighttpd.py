"""lighttpd, tuned for static files; one process per core.

The sendfile backend is the best one at every size: small bodies it sends from
memory together with their head anyway, large ones cost writev four times as much.
"""

from pathlib import Path
from string import Template

from perf.errors import PerfError
from perf.servers.base import (
    Launch,
    Setup,
    find_program,
    first_line,
    never_paces,
    open_files,
)

_CONFIG = Template(
    """\
server.document-root = "$root"
server.bind = "127.0.0.1"
server.port = $port
server.errorlog = "$folder/error.log"
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.max-worker = $extra_workers
server.max-fds = $files
server.max-connections = $connections
server.listen-backlog = 16384
server.defer-accept = $defer
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 3600
server.max-read-idle = 3600
server.max-write-idle = 3600
server.stat-cache-engine = "simple"
server.tag = "lighttpd"
mimetype.assign = ( "" => "application/octet-stream" )
"""
)


class Lighttpd:
    """Debian's lighttpd; it holds half as many connections as it may open files."""

    name = "lighttpd"

    def version(self) -> str | None:
        program = find_program("lighttpd")
        if program is None:
            return None
        return first_line([program, "-v"]).split()[0].split("/")[-1]

    def unfit(self, setup: Setup) -> str | None:
        return never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        program = find_program("lighttpd")
        if program is None:
            raise PerfError("lighttpd is not installed (Debian package lighttpd)")
        path = folder / "lighttpd.conf"
        path.write_text(self.config(setup, port, folder))
        return Launch([program, "-D", "-f", str(path)])

    def config(self, setup: Setup, port: int, folder: Path) -> str:
        """The whole configuration file."""
        return _CONFIG.substitute(
            root=setup.root,
            folder=folder,
            port=port,
            defer=int(bool(setup.defer_accept)),
            # 0 is one process without a supervisor above it.
            extra_workers=len(setup.cpus) if len(setup.cpus) > 1 else 0,
            files=open_files(2 * setup.connections + setup.files + 2048),
            connections=setup.connections + 512,
        )
