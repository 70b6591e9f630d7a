"""Apache httpd with mpm_worker: a thread for each connection, as a reference.

It is no peer of the other workloads: there mpm_event would be its best configuration.
Several processes share the connections, because one may not open enough files for
10,000 connections and a file for each.
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
)

THREADS_PER_PROCESS = 2500
SPARE_THREADS = 500
_MODULES = (
    Path("/usr/lib/apache2/modules"),  # Debian
    Path("/usr/lib64/httpd/modules"),
    Path("/usr/lib/httpd/modules"),
)

# A thread that serves files needs little stack; 10,000 of 8 MiB would be refused.
_CONFIG = Template(
    """\
ServerRoot "$folder"
ServerName perf
Listen 127.0.0.1:$port
PidFile "$folder/pid"
DefaultRuntimeDir "$folder"
ErrorLog "$folder/error.log"
LogLevel crit
Mutex pthread
LoadModule mpm_worker_module $modules/mod_mpm_worker.so
LoadModule authz_core_module $modules/mod_authz_core.so
ListenBacklog 16384
AcceptFilter http $filter
StartServers $processes
ServerLimit $processes
ThreadLimit $threads
ThreadsPerChild $threads
MaxRequestWorkers $workers
MinSpareThreads 1
MaxSpareThreads $workers
MaxConnectionsPerChild 0
ThreadStackSize 262144
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 3600
TimeOut 3600
EnableSendfile On
EnableMMAP Off
HostnameLookups Off
DocumentRoot "$root"
<Directory "$root">
    AllowOverride None
    Options FollowSymLinks
    Require all granted
</Directory>
"""
)


class Httpd:
    """Debian's apache2-bin is enough; nothing of the system's configuration is read."""

    name = "httpd"

    def version(self) -> str | None:
        program = _program()
        if program is None or _modules() is None:
            return None
        return first_line([program, "-v"]).split("/")[-1].split()[0]

    def unfit(self, setup: Setup) -> str | None:
        return never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        program = _program()
        if program is None:
            raise PerfError("httpd is not installed (Debian package apache2-bin)")
        path = folder / "httpd.conf"
        path.write_text(self.config(setup, port, folder))
        return Launch([program, "-DFOREGROUND", "-f", str(path)])

    def config(self, setup: Setup, port: int, folder: Path) -> str:
        """The whole configuration file.

        Raises:
            PerfError: its modules are in no known place.
        """
        modules = _modules()
        if modules is None:
            raise PerfError("httpd's modules are in none of the usual folders")
        processes = -(-(setup.connections + SPARE_THREADS) // THREADS_PER_PROCESS)
        return _CONFIG.substitute(
            root=setup.root,
            folder=folder,
            port=port,
            modules=modules,
            # Unasked it defers accepting.
            filter="none" if setup.defer_accept is False else "data",
            processes=processes,
            threads=THREADS_PER_PROCESS,
            workers=processes * THREADS_PER_PROCESS,
        )


def _program() -> str | None:
    return find_program("apache2") or find_program("httpd")


def _modules() -> Path | None:
    return next((p for p in _MODULES if (p / "mod_mpm_worker.so").exists()), None)
