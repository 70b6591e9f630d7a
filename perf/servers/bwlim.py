"""haproxy with its filter ``bwlim-out`` in front of nginx, which serves the files.

One thread, or worker, of each on every core. They talk over a UNIX socket, which costs
less than loopback.
"""

from dataclasses import replace
from pathlib import Path
from string import Template

from perf.errors import PerfError
from perf.servers.base import (
    Launch,
    Setup,
    find_program,
    first_line,
    open_files,
    output_of,
)
from perf.servers.haproxy import DEFAULTS, GLOBAL
from perf.servers.nginx import Nginx

FILTER = "bwlim-out"
SOCKET_NAME = "nginx.sock"
PERIOD = "1s"
"""Of a stream's limit, as in its documentation. With a tenth of that a tenth of the
bytes went missing, however large the pieces."""
MIN_BYTES = 2896
"""Two segments of Ethernet, where its documentation says to begin."""
PIECES_PER_SECOND = 160
"""Fewer are larger, cheaper and less even: at 1 MiB/s, 64 pieces cost half as much CPU
as 360, with a jitter of 25 % (100 ms slots), not 14 %."""
PIECE_BYTES_MAX = 16_384  # its buffer
_SPARE_FILES = 1024

_CONFIG = Template(
    f"""\
{GLOBAL}\
{DEFAULTS}\
frontend files
    maxconn $connections
    bind $host:$port backlog 16384 $shards
    $filter
    http-response set-bandwidth-limit limit
    default_backend nginx
backend nginx
    server nginx unix@$socket
backend sources
    stick-table type ip size 100k expire 1h store bytes_out_rate(1s)
"""
)


class HaproxyBwlim:
    """Needs haproxy 2.7 or later, which is found first on PATH."""

    name = "haproxy-bwlim"

    def __init__(self) -> None:
        self._nginx = Nginx()

    def version(self) -> str | None:
        program = find_program("haproxy")
        if program is None or self._nginx.version() is None:
            return None
        return f"{first_line([program, '-v']).split()[2]} + nginx"

    def unfit(self, setup: Setup) -> str | None:
        program = find_program("haproxy")
        if program is None or not has_filter(program):
            return f"this haproxy has no filter {FILTER}: 2.7 and later have it"
        needed, allowed = _files(setup), open_files(_files(setup))
        if allowed < needed:
            return (
                f"a proxy needs {needed} open files for {setup.connections} "
                f"connections, the hard limit is {allowed}"
            )
        return None

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        """haproxy replaces the shell that began nginx: so nginx is its child."""
        haproxy, nginx = find_program("haproxy"), find_program("nginx")
        if haproxy is None or nginx is None:
            raise PerfError("haproxy and nginx (Debian packages) are needed")
        behind = folder / "nginx.conf"
        unlimited = replace(setup, download_bps=None)
        socket = folder / SOCKET_NAME
        behind.write_text(self._nginx.config(unlimited, port, folder, socket))
        path = folder / "haproxy.cfg"
        path.write_text(self.config(setup, port, folder))
        begin = '"$1" -e stderr -p "$2" -c "$3" & exec "$4" -db -q -f "$5"'
        words = ["sh", "-c", begin, "sh", nginx, folder, behind, haproxy, path]
        return Launch([*map(str, words)])

    def config(self, setup: Setup, port: int, folder: Path) -> str:
        """The whole configuration file of haproxy."""
        threads = len(setup.cpus)
        return _CONFIG.substitute(
            threads=threads,
            cpus=" ".join(map(str, setup.cpus)),
            connections=setup.connections + 512,
            files=_files(setup),
            host=setup.host,
            port=port,
            shards="shards by-thread" if threads > 1 else "",
            filter=_filter(setup),
            socket=folder / SOCKET_NAME,
        )


def _files(setup: Setup) -> int:
    return 2 * setup.connections + _SPARE_FILES


def _filter(setup: Setup) -> str:
    """By stream where every download has a limit, by source where a client has one."""
    if setup.download_bps is not None:
        rate_bps = setup.download_bps
        how = f"default-limit {rate_bps} default-period {PERIOD}"
    else:
        [client] = setup.clients
        rate_bps = client.rate_bps
        how = f"limit {rate_bps} key src table sources"
    return f"filter {FILTER} limit {how} min-size {piece_bytes(rate_bps)}"


def piece_bytes(rate_bps: int) -> int:
    """How much it forwards at least."""
    return max(MIN_BYTES, min(PIECE_BYTES_MAX, rate_bps // PIECES_PER_SECOND))


def has_filter(program: str) -> bool:
    """Whether this haproxy was built with it."""
    return FILTER in output_of([program, "-vv"])
