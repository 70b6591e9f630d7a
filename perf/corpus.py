"""The files that are served: made once per run, random so that nothing compresses."""

import os
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
_BLOCK = MIB


def make(root: Path, size_bytes: int) -> str:
    """Make a file of ``size_bytes`` under ``root``; returns its path in URLs.

    Written just now, it is in the page cache: all workloads here read hot files.
    """
    path = root / f"{size_bytes}.bin"
    if not path.exists():
        block = os.urandom(min(size_bytes, _BLOCK))
        with path.open("wb") as file:
            for start in range(0, size_bytes, _BLOCK):
                file.write(block[: size_bytes - start])
        path.chmod(0o644)
    return path.name


def title(size_bytes: int) -> str:
    """``1 KiB``, ``100 MiB``: whole units only, else plain bytes."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} B"
