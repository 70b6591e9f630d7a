"""Programs for Node.js that tests run; they skip where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf.errors import PerfError
from perf.servers import npm

PACKAGES = {"tus-js-client": "4.3.1", **npm.TUS_SERVER}
SCRIPTS = Path(__file__).parent / "js"


def need_node(*version: int) -> None:
    """Skips without one, and with an older one."""
    found = npm.node_version()
    if found is None:
        pytest.skip("node is not installed")
    if found < version:
        pytest.skip(f"node is {'.'.join(map(str, found))}, and older than {version}")


def node(script: str, *arguments: str) -> list[str]:
    """The command that runs one of ours with the packages at hand."""
    need_node()
    try:
        packages = npm.packages(PACKAGES)
    except PerfError as error:
        pytest.skip(str(error))
    return ["node", str(npm.beside(packages, SCRIPTS / script)), *arguments]
