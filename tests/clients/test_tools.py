"""What people really use: curl, wget and aria2 download, resume and split."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIG_BYTES
from tests.serving import Server, of_others


def need(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=of_others(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def same(one: Path, other: Path) -> bool:
    return (
        hashlib.sha256(one.read_bytes()).digest()
        == hashlib.sha256(other.read_bytes()).digest()
    )


@pytest.fixture
def url(server: Server) -> Callable[[str], str]:
    return lambda path: f"http://127.0.0.1:{server.port}{path}"


@pytest.fixture
def part(root: Path, tmp_path: Path) -> Path:
    """The first 3,000,001 bytes of a download that was interrupted."""
    path = tmp_path / "big"
    path.write_bytes((root / "big").read_bytes()[:3_000_001])
    return path


def test_curl_resumes(
    url: Callable[[str], str], root: Path, tmp_path: Path, part: Path
) -> None:
    run(need("curl"), "-sSf", "-C", "-", "-o", "big", url("/big"), cwd=tmp_path)
    assert same(part, root / "big")


def test_curl_downloads_in_parallel(
    url: Callable[[str], str], root: Path, tmp_path: Path
) -> None:
    names = ["big", "1m", "edge+0", "hello.txt"]
    args = [word for name in names for word in ("-o", name, url(f"/{name}"))]
    run(need("curl"), "-sSf", "-Z", *args, cwd=tmp_path)
    assert all(same(tmp_path / name, root / name) for name in names)


def test_curl_transfers_only_what_changed(
    url: Callable[[str], str], root: Path, tmp_path: Path
) -> None:
    curl = need("curl")
    stamp = root / "hello.txt"
    show = ("-w", "%{http_code}", "-o", "out")
    assert run(
        curl, "-sS", "-z", str(stamp), *show, url("/hello.txt"), cwd=tmp_path
    ) == ("304")
    assert run(curl, "-sS", "-I", *show, url("/hello.txt"), cwd=tmp_path) == "200"


def test_wget_resumes(
    url: Callable[[str], str], root: Path, tmp_path: Path, part: Path
) -> None:
    run(need("wget"), "-q", "-c", url("/big"), cwd=tmp_path)
    assert same(part, root / "big")


def test_wget_leaves_what_it_has(
    url: Callable[[str], str], server: Server, tmp_path: Path
) -> None:
    wget = need("wget")
    run(wget, "-q", "-N", url("/big"), cwd=tmp_path)
    before = server.total("bytes_sent_total")
    run(wget, "-q", "-N", url("/big"), cwd=tmp_path)
    assert server.total("bytes_sent_total") - before < 10_000


def test_aria2_splits_and_checks(
    url: Callable[[str], str], server: Server, root: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256((root / "big").read_bytes()).hexdigest()
    before = server.total("requests_total")
    run(
        need("aria2c"),
        *("-q", "-x8", "-s8", "-k1M", "--file-allocation=none"),
        f"--checksum=sha-256={digest}",
        url("/big"),
        cwd=tmp_path,
    )
    assert (tmp_path / "big").stat().st_size == BIG_BYTES
    assert server.total("requests_total") - before >= 8, "it was not split"


def test_aria2_resumes(
    url: Callable[[str], str], root: Path, tmp_path: Path, part: Path
) -> None:
    options = ("-q", "-c", "--file-allocation=none", "--allow-overwrite=false")
    run(need("aria2c"), *options, url("/big"), cwd=tmp_path)
    assert same(part, root / "big")
    assert part.stat().st_size == BIG_BYTES


@pytest.mark.parametrize(
    "command",
    [
        ("curl", "-sSf", "-o", "out"),
        ("wget", "-q", "-O", "out"),
        ("aria2c", "-q", "-o", "out", "--file-allocation=none"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("path", ["/a%20b%26%C3%BC.txt", "/a%20b&ü.txt"])
def test_names_beyond_ascii(
    url: Callable[[str], str], tmp_path: Path, command: tuple[str, ...], path: str
) -> None:
    tool, *options = command
    run(need(tool), *options, url(path), cwd=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"named\n"
