"""penstock itself: the build in this working copy, else the installed one."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from perf.errors import PerfError
from perf.servers.base import Client, Launch, Setup, free_port

CONFIG_NAME = "penstock.toml"
UPLOADS_AT_ONCE = 1024  # its default
_SOURCE = Path(__file__).resolve().parents[2] / "server"


@dataclass(frozen=True)
class Penstock:
    """Started by the interpreter that runs the harness."""

    mode: str = "off"
    """Which controllers follow every client."""
    write_path: str = "auto"
    """How bodies of uploads get into files."""
    label: str | None = None
    """What it is called where only the load knows what is different."""

    @property
    def name(self) -> str:
        if self.label is not None:
            return self.label
        if self.write_path != "auto":
            return f"penstock-{self.write_path}"
        return "penstock" if self.mode == "off" else "penstock-followed"

    def version(self) -> str | None:
        if not (_built_here() or _installed()):
            return None
        code = "from importlib.metadata import version; print(version('penstock'))"
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        place = "this working copy" if _built_here() else "installed"
        return f"{found.stdout.strip() or 'unversioned'} ({place})"

    def unfit(self, setup: Setup) -> str | None:
        del setup
        return None

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        if not (_built_here() or _installed()):
            raise PerfError("penstock is not built: run ./dev build")
        argv = [sys.executable, "-m", "penstock", "serve", str(setup.root)]
        argv += ["--listen", f"127.0.0.1:{port}"]
        admin_port = free_port()
        argv += ["--admin", f"127.0.0.1:{admin_port}"]
        argv += ["--cpus", ",".join(map(str, setup.cpus))]
        if setup.download_bps is not None:
            argv += ["--client-rate", str(setup.download_bps)]
        if setup.total_bps is not None:
            argv += ["--total-rate", str(setup.total_bps)]
        path = folder / CONFIG_NAME
        text = config(setup.clients, defer_accept=bool(setup.defer_accept))
        if setup.top_clients is not None:
            text += f"[telemetry]\ntop_clients = {setup.top_clients}\n"
        if self.mode != "off":
            text += f'[shaping]\nclient_mode = "{self.mode}"\n'
        if setup.uploads:
            # On the file system of the root, and not to be seen below it.
            kept = setup.root / ".uploads"
            kept.mkdir(exist_ok=True)
            text += f'[uploads]\nopen = true\ndirectory = "{kept}"\n'
            text += f'write_path = "{self.write_path}"\n'
            text += f"max_at_once = {max(UPLOADS_AT_ONCE, setup.uploads)}\n"
        path.write_text(text)
        return Launch(
            [*argv, "--config", str(path)], environment(), admin_port, folder=folder
        )


def config(clients: Sequence[Client], *, defer_accept: bool = False) -> str:
    """The TOML file that gives every client its limit; empty where all is as default.

    The file holds digests, never a token.
    """
    server = "[server]\ndefer_accept = true\n" if defer_accept else ""
    return server + "\n".join(map(_client, clients))


def _client(client: Client) -> str:
    lines = [f'[clients."{client.name}"]']
    if client.rate_bps:
        lines.append(f'rate = "{client.rate_bps}"')
    if client.weight:
        lines.append(f"weight = {client.weight}")
    if client.token is not None:
        digest = hashlib.sha256(client.token.encode()).hexdigest()
        lines.append(f'token_sha256 = ["{digest}"]')
    return "\n".join(lines) + "\n"


def _built_here() -> bool:
    package = _SOURCE / "penstock"
    return (package / "cli.py").exists() and any(package.glob("_engine.*.so"))


def _installed() -> bool:
    return find_spec("penstock") is not None and find_spec("penstock.cli") is not None


def environment() -> dict[str, str]:
    """With which a Python child finds the build in this working copy."""
    if not _built_here():
        return {}
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{_SOURCE}:{before}" if before else str(_SOURCE)}
