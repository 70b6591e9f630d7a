"""haproxy as a server of small files from memory; one thread per core.

It is a proxy and has no file server. But ``http-request return … file`` answers with
a file that was read at the start: the least that any server can do for a small body,
and so a bound to hold the others against.
"""

from collections.abc import Iterator
from pathlib import Path
from string import Template

from perf import corpus
from perf.errors import PerfError
from perf.servers.base import (
    Launch,
    Setup,
    find_program,
    first_line,
    never_paces,
    open_files,
)

BODY_BYTES_MAX = 64 * corpus.KIB
"""An answer has to fit into one buffer, and every connection has such buffers."""
_HEAD_ROOM_BYTES = 4 * corpus.KIB  # haproxy keeps 1 KiB of a buffer for rewriting
_BUFFER_BYTES_MIN = 16 * corpus.KIB  # haproxy's default

GLOBAL = """\
global
    nbthread $threads
    cpu-map auto:1/1-$threads $cpus
    maxconn $connections
    ulimit-n $files
"""
DEFAULTS = """\
defaults
    mode http
    option http-keep-alive
    timeout client 1h
    timeout server 1h
    timeout connect 1h
    timeout http-keep-alive 1h
"""
_CONFIG = Template(
    f"""\
{GLOBAL}\
    tune.bufsize $buffer
    tune.listener.multi-queue off
{DEFAULTS}\
frontend files
    maxconn $connections
    bind 127.0.0.1:$port backlog 16384$defer $shards
$answers
    http-request return status 404
"""
)


class Haproxy:
    """Debian's haproxy; left out where a body does not fit into its buffer."""

    name = "haproxy"

    def version(self) -> str | None:
        program = find_program("haproxy")
        return None if program is None else first_line([program, "-v"]).split()[2]

    def unfit(self, setup: Setup) -> str | None:
        if setup.body_bytes <= BODY_BYTES_MAX:
            return never_paces(setup)
        return (
            "it is no file server: it answers with files held in memory, which must "
            f"fit into a buffer (here: {corpus.title(BODY_BYTES_MAX)})"
        )

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        program = find_program("haproxy")
        if program is None:
            raise PerfError("haproxy is not installed (Debian package haproxy)")
        path = folder / "haproxy.cfg"
        path.write_text(self.config(setup, port))
        return Launch([program, "-db", "-q", "-f", str(path)])

    def config(self, setup: Setup, port: int) -> str:
        """The whole configuration file, with a rule for each file of the set-up."""
        threads = len(setup.cpus)
        needed = setup.body_bytes + _HEAD_ROOM_BYTES
        return _CONFIG.substitute(
            threads=threads,
            defer=" defer-accept" if setup.defer_accept else "",
            cpus=" ".join(map(str, setup.cpus)),
            connections=setup.connections + 512,
            files=open_files(2 * setup.connections + 2048),
            buffer=max(_BUFFER_BYTES_MIN, needed),
            port=port,
            # A listener of its own for each thread, by SO_REUSEPORT.
            shards="shards by-thread" if threads > 1 else "",
            answers="\n".join(_answers(setup)),
        )


def _answers(setup: Setup) -> Iterator[str]:
    for path in sorted(setup.root.iterdir()):
        if path.is_file() and path.stat().st_size == setup.body_bytes:
            yield (
                "    http-request return status 200 content-type "
                f'application/octet-stream file "{path}" if {{ path /{path.name} }}'
            )
