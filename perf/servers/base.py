"""What all measured servers have in common: set-up, start, readiness, end."""

import os
import resource
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Protocol

from perf.errors import PerfError
from perf.load.http import get, split_head
from perf.process import child, wait_until_ready

READY_SECONDS = 20.0
_PROBE_SECONDS = 5.0
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Client:
    """A client with a limit of its own: known by a bearer token, or, where it has
    none, by its name, which then is its address."""

    name: str
    token: str | None
    rate_bps: int = 0  # bytes per second; 0: none of its own
    weight: int = 0  # of its share in the total; 0: as the server does unasked


@dataclass(frozen=True, slots=True)
class Setup:
    """What a server is started for. A workload changes only what it is about."""

    root: Path  # the folder to serve
    cpus: Sequence[int]
    connections: int = 1024  # that must fit at the same time
    body_bytes: int = 1024  # of the files asked for
    files: int = 1  # that are asked for
    defer_accept: bool | None = None
    """TCP_DEFER_ACCEPT on the listener (tcp(7)); None: as the server does unasked."""
    clients: Sequence[Client] = ()  # by token: only penstock knows such
    total_bps: int | None = None  # limit of all clients together
    top_clients: int | None = None
    """Of penstock: how many have series of their own; None: as it does unasked."""
    host: str = "127.0.0.1"  # to listen on
    uploads: int = 0  # at the same time, which become files in ``root``
    download_bps: int | None = None
    """Limit of every download, in bytes per second, where each has an address of its
    own: what limits connections and what limits clients then does the same."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one server."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    admin_port: int | None = None  # of penstock's metrics
    host: str = "127.0.0.1"  # where it listens
    readers: str = "127.1"  # the /16 of local addresses from which it is asked
    folder: Path | None = None  # of its configuration, where that may change


class Kind(Protocol):
    """One server software in its best configuration for serving static files."""

    @property
    def name(self) -> str:
        """In tables and after --peers."""

    def version(self) -> str | None:
        """The installed version, None when it is not installed."""

    def unfit(self, setup: Setup) -> str | None:
        """Why it cannot serve this set-up at all; None when it can."""

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        """Write what it needs into ``folder``; say how to start it on ``port``.

        It must stay in the foreground and listen on 127.0.0.1, or on the host that
        the launch names.
        """


def never_defers(setup: Setup) -> str | None:
    """Why a server that knows no TCP_DEFER_ACCEPT is unfit for ``setup``."""
    return "it cannot defer accepting" if setup.defer_accept else None


def always_defers(setup: Setup) -> str | None:
    """Why a server that always sets TCP_DEFER_ACCEPT is unfit for ``setup``."""
    return "it always defers accepting" if setup.defer_accept is False else None


def never_paces(setup: Setup) -> str | None:
    """Why a server that is not configured to limit downloads is unfit for ``setup``."""
    if setup.download_bps is None:
        return None
    return "it is not set up here to limit each download"


@dataclass(frozen=True, slots=True)
class Running:
    """A started server that has answered a request."""

    kind: str
    pid: int
    port: int
    admin_port: int | None = None
    host: str = "127.0.0.1"
    readers: str = "127.1"
    folder: Path | None = None

    def url(self, path: str) -> str:
        return f"http://{self.host}:{self.port}/{path}"


@contextmanager
def running(kind: Kind, setup: Setup, probe_path: str) -> Iterator[Running]:
    """Start a server, wait until it serves ``probe_path``, end it with the block.

    Raises:
        PerfError: it is unfit for the set-up, or did not start; with its last words.
    """
    if (reason := kind.unfit(setup)) is not None:
        raise PerfError(f"left out: {reason}")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix=f"perf-{kind.name}-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        log = folder / "log"
        launch = kind.launch(setup, port, folder)
        cpus = set(setup.cpus)
        with child(launch.argv, cpus=cpus, log=log, env=launch.env) as process:
            wait_until_ready(
                process,
                lambda: serves(port, probe_path, launch.host),
                seconds=READY_SECONDS,
                log=log,
            )
            yield Running(
                kind.name,
                process.pid,
                port,
                launch.admin_port,
                launch.host,
                launch.readers,
                launch.folder,
            )


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def serves(port: int, path: str, host: str = "127.0.0.1") -> bool:
    """Whether a GET is answered with success and the beginning of a body."""
    received = b""
    try:
        with socket.create_connection((host, port), _PROBE_SECONDS) as sock:
            sock.sendall(get(path))
            while (parts := split_head(received)) is None or parts[1] == 0:
                piece = sock.recv(4096)
                if not piece:
                    return False
                received += piece
    except (OSError, PerfError):
        return False
    return True


def open_files(wanted: int) -> int:
    """As many open files as wanted, or as the hard limit leaves a server."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def find_program(name: str) -> str | None:
    """Debian keeps daemons in /usr/sbin, which is not on every user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def package_version(name: str) -> str | None:
    """Of a Python package that this interpreter finds, None when there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def repository_environment() -> dict[str, str]:
    """With which a Python child finds the modules of ``perf``."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{_REPOSITORY}:{before}" if before else str(_REPOSITORY)}


def first_line(argv: Sequence[str]) -> str:
    """The first line a program prints, on whichever stream it chooses."""
    return output_of(argv).partition("\n")[0].strip()


def output_of(argv: Sequence[str]) -> str:
    """All that a program prints, on both streams."""
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout
