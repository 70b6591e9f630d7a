"""Files that are cut, replaced or deleted while they are served."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Server, request

BIG = 8 << 20
RENAMING = """import os, sys
one, other = sys.argv[1:]
while True:
    os.rename(one, other)
    os.rename(other, one)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "changing"
    path.mkdir()
    (path / "big").write_bytes(noise(BIG, 1))
    (path / "small").write_bytes(b"old\n")
    return path


def test_a_file_cut_while_it_is_sent_ends_early_and_never_wrongly(
    start: Callable[..., Server], place: Path
) -> None:
    server = start(root=place)
    content = (place / "big").read_bytes()
    with server.client(rcvbuf=4096) as client:
        client.send(request("/big"))
        status, _, headers = client.read_head()
        assert (status, int(headers["content-length"])) == (200, BIG)
        os.truncate(place / "big", BIG // 2)
        while client.fill():
            pass
        assert len(client.buffer) < BIG, "the rest was made up"
        whole = client.buffer[: BIG // 2]
        assert whole == content[: len(whole)]
    assert server.get("/small").body == b"old\n"


def test_a_download_finishes_the_file_that_it_began(
    start: Callable[..., Server], place: Path
) -> None:
    server = start(root=place)
    content = (place / "big").read_bytes()
    with server.client(rcvbuf=4096) as client:
        client.send(request("/big"))
        client.read_head()
        (place / "new").write_bytes(noise(BIG, 2))
        (place / "new").rename(place / "big")
        while len(client.buffer) < BIG:
            assert client.fill()
        assert client.buffer == content


@pytest.mark.parametrize("name", ["small", "big"])
def test_a_replaced_file_is_seen_soon_with_another_etag(
    start: Callable[..., Server], place: Path, name: str
) -> None:
    server = start(root=place)
    before = server.get(f"/{name}")
    new = noise(len(before.body), 3)  # the same size: only inode and time tell
    (place / "new").write_bytes(new)
    (place / "new").rename(place / name)

    def replaced() -> bool:
        response = server.get(f"/{name}")
        assert (response.body == new) == (response["etag"] != before["etag"])
        return response.body == new

    server.wait("the new content", replaced, 3)


def test_a_file_written_in_place_is_seen_soon(
    start: Callable[..., Server], place: Path
) -> None:
    server = start(root=place)
    assert server.get("/small").body == b"old\n"
    with (place / "small").open("r+b") as file:
        file.write(b"new\n")
    server.wait("the new content", lambda: server.get("/small").body == b"new\n", 3)


@pytest.mark.parametrize("name", ["small", "big"])
def test_a_deleted_file_is_404_soon(
    start: Callable[..., Server], place: Path, name: str
) -> None:
    # One engine: each has a cache of its own, and asks the disk in its own time.
    server = start("--cpus", "0", root=place)
    assert server.get(f"/{name}").status == 200
    (place / name).unlink()
    server.wait("404", lambda: server.get(f"/{name}").status == 404, 3)
    (place / name).write_bytes(b"back\n")
    assert server.get(f"/{name}").body == b"back\n", "absence is not cached"


def test_the_cache_stays_within_its_bounds(
    start: Callable[..., Server], tmp_path: Path, config: Callable[[str], str]
) -> None:
    place = tmp_path / "many"
    place.mkdir()
    for n in range(100):
        (place / f"s{n}").write_bytes(noise(2000, n))
        (place / f"l{n}").write_bytes(noise(70_000, n))
    server = start(
        "--config",
        config("[limits]\ncache_entries = 20\ncache_bytes = 20000\n"),
        "--cpus",
        "0",
        root=place,
    )
    with server.client() as client:
        for n in [*range(100), *range(0, 100, 7)]:
            assert client.get(f"/s{n}").body == noise(2000, n)
            assert client.get(f"/l{n}").body == noise(70_000, n)
    (engine,) = server.status()["engines"]
    assert engine["cache_entries"] <= 20
    assert engine["cache_bytes"] <= 20000
    assert engine["cache_evictions_total"] > 100


@contextlib.contextmanager
def something_renames(folder: Path) -> Iterator[None]:
    """All the time, and nothing that anybody serves."""
    (folder / "one").touch()
    names = [str(folder / "one"), str(folder / "other")]
    process = subprocess.Popen([sys.executable, "-c", RENAMING, *names])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_symlinks_that_lead_up_are_followed_while_something_is_renamed(
    start: Callable[..., Server], place: Path, tmp_path: Path
) -> None:
    """openat2(2) gives up then, with EAGAIN, and has to be asked again."""
    (place / "releases" / "1").mkdir(parents=True)
    (place / "releases" / "1" / "page").write_bytes(b"page\n")
    (place / "current").symlink_to("releases/../" * 10 + "releases/1")
    server = start("--cpus", "0", root=place)
    end = time.monotonic() + 2
    with something_renames(tmp_path), server.client() as client:
        for n in itertools.count():  # names that no cache knows
            assert client.get("/current/page").status == 200
            assert client.get(f"/current/nothing-{n}").status == 404
            if time.monotonic() > end:
                break


def test_a_file_under_somebodys_lease_is_503_until_it_is_given_up(
    start: Callable[..., Server], place: Path
) -> None:
    """fcntl(2), F_SETLEASE: file servers take them, and give them up when asked."""
    server = start("--cpus", "0", root=place)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # how the kernel asks
    try:
        with (place / "small").open("r+b") as file:
            try:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            except OSError as error:
                pytest.skip(f"no leases here: {error}")
            response = server.get("/small")
            assert response.status == 503
            assert response["retry-after"] == "1"
    finally:
        signal.signal(signal.SIGIO, before)
    assert server.get("/small").body == b"old\n"
