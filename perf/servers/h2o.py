"""h2o, tuned for static files; one thread per core in one process."""

import os
from pathlib import Path
from string import Template

from perf.errors import PerfError
from perf.servers.base import (
    Launch,
    Setup,
    always_defers,
    find_program,
    first_line,
    never_paces,
)

# In seconds. Nothing may be written to a log during the run, and HTTP/2 is not asked
# for: without the upgrade h2o looks at one header less per request.
_CONFIG = Template(
    """\
$user
num-threads: $threads
num-name-resolution-threads: 1
max-connections: $connections
http1-request-timeout: 3600
http1-upgrade-to-http2: OFF
pid-file: $folder/pid
error-log: /dev/null
listen:
  host: 127.0.0.1
  port: $port
hosts:
  default:
    paths:
      /:
        file.dir: "$root"
"""
)


class H2o:
    """Debian's h2o 2.2: it reads files into memory, and has no sendfile(2)."""

    name = "h2o"

    def version(self) -> str | None:
        program = find_program("h2o")
        return None if program is None else first_line([program, "-v"]).split()[-1]

    def unfit(self, setup: Setup) -> str | None:
        return always_defers(setup) or never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        program = find_program("h2o")
        if program is None:
            raise PerfError("h2o is not installed (Debian package h2o)")
        path = folder / "h2o.yaml"
        path.write_text(self.config(setup, port, folder))
        return Launch([program, "-m", "worker", "-c", str(path)])

    def config(self, setup: Setup, port: int, folder: Path) -> str:
        """The whole configuration file."""
        return _CONFIG.substitute(
            # Without it, root's h2o turns into nobody, who may not read every folder.
            user="user: root" if os.geteuid() == 0 else "",
            folder=folder,
            threads=len(setup.cpus),
            connections=setup.connections + 512,
            port=port,
            root=setup.root,
        )
