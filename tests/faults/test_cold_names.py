"""Names that the kernel has to look up on a disk: the answers come from the ring.

A name that was just made is in the kernel's cache, so strace says for it, to every open
that must not wait, that it is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.precompressed import SIZES, SUFFIXES, content, fill_place
from tests.serving import Server, request
from tests.tracing import failing, traced


@contextlib.contextmanager
def nothing_cached(server: Server) -> Iterator[None]:
    with traced(server, *failing("openat2", "EAGAIN")):
        yield


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = fill_place(tmp_path / "web")
    (path / "small.js.zst").unlink()
    (path / "large.js.gz").chmod(0)
    return path


@pytest.fixture
def server(
    start: Callable[..., Server], place: Path, config: Callable[[str], str]
) -> Server:
    """Looks at the disk for every request."""
    text = '[limits]\ncache_revalidate = "0s"\n'
    options = ("--precompressed", "br,zstd,gzip", "--cpus", "0")
    return start(*options, "--config", config(text), root=place)


def test_files_and_their_sidecars_are_found(server: Server) -> None:
    """Those that are there, that are not, and that can not be opened."""
    absent = {("small.js", "zstd"), ("large.js", "gzip")}
    with nothing_cached(server), server.client() as client:
        for name in SIZES:
            for encoding in SUFFIXES:
                response = client.get(f"/{name}", accept_encoding=encoding)
                used = "" if (name, encoding) in absent else encoding
                assert response.headers.get("content-encoding", "") == used
                assert response.body == content(name, used)
                assert response["vary"] == "Accept-Encoding"
        assert client.get("/alone.js", accept_encoding="br").body == b"alone\n"
        assert client.get("/nothing", accept_encoding="br").status == 404


def test_all_who_wait_for_the_same_look_up_are_answered(server: Server) -> None:
    order = ["br", "gzip", "zstd", "identity"] * 4
    with nothing_cached(server):
        clients = [server.client() for _ in order]
        for client, encoding in zip(clients, order, strict=True):
            client.send(request("/large.js", accept_encoding=encoding))
        for client, encoding in zip(clients, order, strict=True):
            used = "" if encoding in ("identity", "gzip") else encoding
            assert client.read().body == content("large.js", used)


def test_one_that_appears_is_used(server: Server, place: Path) -> None:
    with nothing_cached(server):
        assert server.get("/alone.js", accept_encoding="br").body == b"alone\n"
        (place / "alone.js.br").write_bytes(noise(50))
        response = server.get("/alone.js", accept_encoding="br")
        assert response["content-encoding"] == "br"
        (place / "alone.js.br").unlink()
        assert server.get("/alone.js", accept_encoding="br").body == b"alone\n"
