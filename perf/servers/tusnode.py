"""@tus/server, the reference server of tus for Node.js, with its files on a disk."""

from pathlib import Path

from perf.errors import PerfError
from perf.servers import npm
from perf.servers.base import Launch, Setup, never_defers, never_paces

SCRIPT = Path(__file__).parent / "apps" / "tus_node.mjs"


class TusNode:
    """``node`` from PATH, its packages from npm; one process, so for one core.

    It answers when the file has its bytes, and syncs nothing.
    """

    name = "tus-node"

    def version(self) -> str | None:
        found = npm.node_version()
        if found is None:
            return None
        return f"{npm.TUS_SERVER['@tus/server']} (node {'.'.join(map(str, found))})"

    def unfit(self, setup: Setup) -> str | None:
        return _unable() or never_defers(setup) or never_paces(setup)

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        script = npm.beside(npm.packages(npm.TUS_SERVER), SCRIPT)
        notes = folder / "notes"
        notes.mkdir()
        argv = ["node", str(script), str(setup.root), str(port), str(notes)]
        return Launch(argv, {"NODE_ENV": "production"})


def _unable() -> str | None:
    found = npm.node_version()
    if found is None or found < npm.TUS_SERVER_NODE:
        return f"it needs node {'.'.join(map(str, npm.TUS_SERVER_NODE))} or later"
    try:
        npm.packages(npm.TUS_SERVER)
    except PerfError as error:
        return str(error)
    return None
