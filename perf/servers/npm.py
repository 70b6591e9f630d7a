"""Packages for Node.js: they are kept outside of the tree, between runs."""

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from perf.errors import PerfError
from perf.servers.base import first_line

TUS_SERVER: Mapping[str, str] = {"@tus/server": "2.4.5", "@tus/file-store": "2.1.1"}
TUS_SERVER_NODE = (20, 19)
INSTALL_SECONDS = 90


def node_version() -> tuple[int, ...] | None:
    """None: there is none."""
    if shutil.which("node") is None:
        return None
    return tuple(map(int, re.findall(r"\d+", first_line(["node", "--version"]))))


def packages(wanted: Mapping[str, str]) -> Path:
    """The folder that has these versions in ``node_modules``.

    Raises:
        PerfError: they can not be had.
    """
    if shutil.which("npm") is None:
        raise PerfError("npm is not installed")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "penstock" / f"npm-{'-'.join(wanted.values())}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of others who install the same
        if not (folder / "installed").exists():
            _install(folder, wanted)
    return folder


def _install(folder: Path, wanted: Mapping[str, str]) -> None:
    (folder / "package.json").write_text(json.dumps({"dependencies": dict(wanted)}))
    command = ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise PerfError(f"npm did not answer within {INSTALL_SECONDS} s") from None
    if done.returncode:
        raise PerfError(f"npm could not install: {done.stderr.strip()[-200:]}")
    (folder / "installed").touch()


def beside(folder: Path, script: Path) -> Path:
    """A copy of the script in ``folder``: imports are looked up from where it lies."""
    copy, fresh = folder / script.name, script.read_bytes()
    if not copy.exists() or copy.read_bytes() != fresh:
        temporary = copy.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(fresh)
        temporary.rename(copy)
    return copy
