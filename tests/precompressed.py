"""A folder with sidecars, for the tests of negotiation."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import noise
from tests.serving import Response

SIZES = {"small.js": 5000, "large.js": 300_000}
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
OPTIONS = ("--precompressed", "br,zstd,gzip", "--cpus", "0")


def content(name: str, encoding: str = "") -> bytes:
    """What is sent is what lies in the sidecar: any bytes do, of another length."""
    extra = 7 * sum(encoding.encode())
    return noise(SIZES[name] // (2 if encoding else 1) + extra, extra)


def fill_place(path: Path) -> Path:
    """Every file of SIZES with all its sidecars, and one that has none."""
    path.mkdir()
    for name in SIZES:
        (path / name).write_bytes(content(name))
        for encoding, suffix in SUFFIXES.items():
            (path / (name + suffix)).write_bytes(content(name, encoding))
    (path / "alone.js").write_bytes(b"alone\n")
    return path


def is_itself(response: Response, name: str) -> None:
    assert response.status == 200
    assert "content-encoding" not in response.headers
    assert response.body == content(name)
