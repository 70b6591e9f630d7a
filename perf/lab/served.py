"""penstock itself at the server's end of the lab, and what it says of a client."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.errors import PerfError
from perf.lab.network import Lab
from perf.load.http import get
from perf.process import child, wait_until_ready
from perf.servers import penstock
from perf.servers.base import READY_SECONDS

# In a namespace of its own nobody else has them.
PORT, ADMIN_PORT = 8080, 9090
REQUEST_SECONDS = 5.0
_PROBE_SECONDS = 5.0
PROBER = 1  # not the client that is measured


@dataclass(frozen=True, slots=True)
class Served:
    """A penstock in the lab that serves, and whose admin API can be reached."""

    admin_port: int  # of our own loopback device

    def ask(self, path: str) -> bytes:
        """The answer of its admin API to a GET.

        Raises:
            PerfError: there was none, or no success.
        """
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=REQUEST_SECONDS) as answer:
                found: bytes = answer.read()
        except OSError as error:
            raise PerfError(f"GET {path} failed: {error}") from error
        return found

    def client(self, name: str) -> dict[str, Any]:
        """All that it knows of one client."""
        found: dict[str, Any] = json.loads(self.ask(f"/clients/{name}"))
        return found


@contextmanager
def serving(
    lab: Lab, root: Path, config: str, folder: Path, cpus: set[int]
) -> Iterator[Served]:
    """Serve ``root`` on ``PORT`` of the server's end until the block ends.

    Args:
        lab: where.
        root: what is served.
        config: the text of its TOML file.
        folder: for that and for its log.
        cpus: of the process, and an engine for each.

    Raises:
        PerfError: it did not start; with its last words.
    """
    path, log = folder / penstock.CONFIG_NAME, folder / "log"
    path.write_text(config)
    argv = [sys.executable, "-m", "penstock", "serve", str(root)]
    argv += ["--listen", f"0.0.0.0:{PORT}", "--admin", f"127.0.0.1:{ADMIN_PORT}"]
    argv += ["--cpus", ",".join(map(str, sorted(cpus))), "--config", str(path)]
    argv = [*lab.inside("server"), *argv]
    with child(argv, cpus=cpus, log=log, env=penstock.environment()) as process:
        wait_until_ready(process, lambda: _answers(lab), seconds=READY_SECONDS, log=log)
        with lab.door(ADMIN_PORT) as port:
            yield Served(port)


def _answers(lab: Lab) -> bool:
    """Whatever the answer is: that there is one is enough."""
    try:
        with lab.connect(PORT, PROBER, _PROBE_SECONDS) as sock:
            sock.sendall(get(""))
            return bool(sock.recv(1))
    except OSError:
        return False
