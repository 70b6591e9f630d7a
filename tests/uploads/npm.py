"""Programs for Node.js: their packages are kept outside of the tree, between runs."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = {
    "tus-js-client": "4.3.1",
    "@tus/server": "2.4.5",
    "@tus/file-store": "2.1.1",
}
INSTALL_SECONDS = 90
SCRIPTS = Path(__file__).parent / "js"
_VERSIONS = "-".join(PACKAGES.values())


def need_packages() -> Path:
    """The folder that has them in ``node_modules``; skips where they can not be had."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "penstock-tests" / f"npm-{_VERSIONS}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of other workers
        if not (folder / "installed").exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    (folder / "package.json").write_text(json.dumps({"dependencies": PACKAGES}))
    command = ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not answer within {INSTALL_SECONDS} s")
    if done.returncode:
        pytest.skip(f"npm could not install: {done.stderr.strip()[-200:]}")
    (folder / "installed").touch()


def need_node(*version: int) -> None:
    """Skips with an older one."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    found = tuple(map(int, said.strip().removeprefix("v").split(".")))
    if found < version:
        pytest.skip(f"node is {said.strip()}, and older than {version}")


def node(script: str, *arguments: str) -> list[str]:
    """The command that runs one of ours with the packages at hand."""
    packages = need_packages()
    # A copy beside them: imports are looked up from where a module lies.
    copy = packages / script
    fresh = (SCRIPTS / script).read_bytes()
    if not copy.exists() or copy.read_bytes() != fresh:
        temporary = copy.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(fresh)
        temporary.rename(copy)
    return ["node", str(copy), *arguments]
