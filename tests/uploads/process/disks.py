"""A disk of a few MiB that only one server sees, and that outlives it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Place, Server
from tests.uploads.process.uploading import uploading

FULL_BYTES = 1 << 30
_SCRIPT = (
    'mount -t tmpfs -o "size=$1" none "$0" && mkdir "$0/root" && echo ready && exec cat'
)


@dataclass(frozen=True)
class Disk:
    """
    Attributes:
        inner: its path, for who is inside.
        outer: the same, for everybody else.
    """

    home: Path
    inner: Path
    outer: Path
    place: Place

    @contextmanager
    def uploading(self, *options: str, **more: Any) -> Iterator[Server]:
        with uploading(
            self.home, *options, disk=self.inner, place=self.place, **more
        ) as server:
            yield server

    def fill(self) -> Path:
        """To the last byte; returns what takes the place."""
        ballast = self.outer / "ballast"
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            for _ in range(FULL_BYTES >> 12):
                file.write(bytes(1 << 12))
        return ballast

    def part(self, upload_id: str) -> bytes:
        return (self.outer / "uploads" / f"{upload_id}.part").read_bytes()


@contextmanager
def small_disk(home: Path, size: str) -> Iterator[Disk]:
    """Skips where namespaces with a file system of their own are not permitted."""
    inner = home / "disk"
    inner.mkdir()
    process = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", _SCRIPT, str(inner), size],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            pytest.skip("namespaces with a file system of their own are not permitted")
        enter = ("nsenter", f"--target={process.pid}", "--user", "--mount")
        place = Place(inside=(*enter, "--preserve-credentials"))
        outer = Path(f"/proc/{process.pid}/root{inner}")
        yield Disk(home, inner, outer, place)
