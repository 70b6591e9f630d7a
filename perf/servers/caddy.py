"""caddy, tuned for static files; as many running threads as it has cores."""

from pathlib import Path
from string import Template

from perf.errors import PerfError
from perf.servers.base import (
    Launch,
    Setup,
    find_program,
    first_line,
    never_defers,
    never_paces,
)

_CONFIG = Template(
    """\
{
    admin off
    auto_https off
    log {
        output discard
    }
    servers {
        protocols h1
        timeouts {
            idle 1h
        }
    }
}
http://:$port {
    bind 127.0.0.1
    root * "$root"
    file_server
}
"""
)

GARBAGE_PERCENT = 400
"""Go collects garbage when the heap has grown by so much; its default is 100."""


class Caddy:
    """Debian's caddy; a single process of Go threads."""

    name = "caddy"

    def version(self) -> str | None:
        program = find_program("caddy")
        if program is None:
            return None
        return first_line([program, "version"]).split()[0].removeprefix("v")

    def unfit(self, setup: Setup) -> str | None:
        return never_defers(setup) or never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        program = find_program("caddy")
        if program is None:
            raise PerfError("caddy is not installed (Debian package caddy)")
        path = folder / "Caddyfile"
        path.write_text(_CONFIG.substitute(port=port, root=setup.root))
        environment = {
            "GOMAXPROCS": str(len(setup.cpus)),
            "GOGC": str(GARBAGE_PERCENT),
            # It keeps state below these, which must not be the user's.
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
        }
        argv = [program, "run", "--config", str(path), "--adapter", "caddyfile"]
        return Launch(argv, environment)
