"""Sidecars that come, go and change while their file is served."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Response, Server

NAMES = ("small", "large")
SIZES = {"small": 3000, "large": 200_000}
SOON_S = 3.0
THEN_NS = 1_600_000_000 * 10**9


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "changing"
    path.mkdir()
    for name, size in SIZES.items():
        (path / name).write_bytes(noise(size, 1))
    return path


@pytest.fixture
def server(start: Callable[..., Server], place: Path) -> Server:
    # One engine: each has a cache of its own, and asks the disk in its own time.
    return start("--cpus", "0", "--precompressed", "br,gzip", root=place)


def put(path: Path, data: bytes) -> None:
    """As files should be replaced."""
    (path.parent / "new").write_bytes(data)
    (path.parent / "new").rename(path)


def ask(server: Server, name: str) -> Response:
    response = server.get(f"/{name}", accept_encoding="br, gzip;q=0.5")
    assert response.status == 200
    return response


def encoding(server: Server, name: str) -> str | None:
    return ask(server, name).headers.get("content-encoding")


@pytest.mark.parametrize("name", NAMES)
def test_one_that_appears_is_used_soon(server: Server, place: Path, name: str) -> None:
    assert "vary" not in server.get(f"/{name}").headers
    put(place / f"{name}.br", b"packed\n")
    server.wait("the sidecar", lambda: encoding(server, name) == "br", SOON_S)
    assert ask(server, name).body == b"packed\n"
    assert server.get(f"/{name}")["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", NAMES)
def test_one_that_appears_beside_another_is_used_soon(
    server: Server, place: Path, name: str
) -> None:
    put(place / f"{name}.gz", b"gzip\n")
    assert encoding(server, name) == "gzip"
    put(place / f"{name}.br", b"br\n")
    server.wait("the better one", lambda: encoding(server, name) == "br", SOON_S)


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_replaced_is_seen_soon_with_another_etag(
    server: Server, place: Path, name: str
) -> None:
    old, new = noise(SIZES[name], 2), noise(SIZES[name], 3)
    put(place / f"{name}.br", old)
    before = ask(server, name)
    assert before.body == old
    put(place / f"{name}.br", new)

    def replaced() -> bool:
        response = ask(server, name)
        assert (response.body == new) == (response["etag"] != before["etag"])
        return response.body == new

    server.wait("the new sidecar", replaced, SOON_S)


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_deleted_gives_way_to_the_next(
    server: Server, place: Path, name: str
) -> None:
    put(place / f"{name}.br", b"br\n")
    put(place / f"{name}.gz", b"gzip\n")
    assert encoding(server, name) == "br"
    (place / f"{name}.br").unlink()
    server.wait("the next one", lambda: encoding(server, name) == "gzip", SOON_S)
    (place / f"{name}.gz").unlink()
    server.wait("the file", lambda: encoding(server, name) is None, SOON_S)
    server.wait("no Vary", lambda: "vary" not in server.get(f"/{name}").headers, SOON_S)
    assert ask(server, name).body == noise(SIZES[name], 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_its_permissions_is_seen_soon(
    server: Server, place: Path, name: str
) -> None:
    put(place / f"{name}.br", b"packed\n")
    assert encoding(server, name) == "br"
    (place / f"{name}.br").chmod(0)
    server.wait("the file itself", lambda: encoding(server, name) is None, SOON_S)
    (place / f"{name}.br").chmod(0o644)
    server.wait("the sidecar again", lambda: encoding(server, name) == "br", SOON_S)


@pytest.mark.parametrize("name", NAMES)
def test_one_that_became_a_folder_is_not_used(
    server: Server, place: Path, name: str
) -> None:
    put(place / f"{name}.br", b"packed\n")
    assert encoding(server, name) == "br"
    (place / f"{name}.br").unlink()
    (place / f"{name}.br").mkdir()
    server.wait("the file itself", lambda: encoding(server, name) is None, SOON_S)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_replaced_leaves_its_old_sidecar_behind(
    server: Server, place: Path, name: str
) -> None:
    """Never old content in the name of the new one, once the change was seen."""
    put(place / f"{name}.br", b"old\n")
    os.utime(place / f"{name}.br", ns=(THEN_NS, THEN_NS))
    os.utime(place / name, ns=(THEN_NS, THEN_NS))
    assert encoding(server, name) == "br"
    put(place / name, b"new\n")
    server.wait("the new file", lambda: ask(server, name).body == b"new\n", SOON_S)
    assert encoding(server, name) is None
    assert server.total("sidecars_stale_total") >= 1
    put(place / f"{name}.br", b"new, packed\n")
    server.wait("its sidecar", lambda: encoding(server, name) == "br", SOON_S)
    assert ask(server, name).body == b"new, packed\n"


def test_a_file_that_is_deleted_takes_its_sidecar_along(
    server: Server, place: Path
) -> None:
    put(place / "small.br", b"packed\n")
    assert encoding(server, "small") == "br"
    (place / "small").unlink()
    server.wait(
        "404",
        lambda: server.get("/small", accept_encoding="br").status == 404,
        SOON_S,
    )


def test_sidecars_share_the_bounds_of_the_cache(
    start: Callable[..., Server], tmp_path: Path, config: Callable[[str], str]
) -> None:
    place = tmp_path / "many"
    place.mkdir()
    for n in range(60):
        for name, size in (("s", 2000), ("l", 70_000)):
            (place / f"{name}{n}").write_bytes(noise(size, n))
            (place / f"{name}{n}.br").write_bytes(noise(size // 2, 1000 + n))
    text = "[limits]\ncache_entries = 10\ncache_bytes = 10000\n"
    options = ("--cpus", "0", "--precompressed", "br", "--config", config(text))
    server = start(*options, root=place)
    with server.client() as client:
        for n in [*range(60), *range(0, 60, 7)]:
            for name, size in (("s", 2000), ("l", 70_000)):
                packed = client.get(f"/{name}{n}", accept_encoding="br")
                assert packed.body == noise(size // 2, 1000 + n)
                assert client.get(f"/{name}{n}").body == noise(size, n)
    (engine,) = server.status()["engines"]
    assert engine["cache_entries"] <= 10
    assert engine["cache_bytes"] <= 10000


def test_with_every_look_at_the_disk_the_answers_stay_right(
    start: Callable[..., Server], place: Path, config: Callable[[str], str]
) -> None:
    put(place / "small.br", b"packed\n")
    (place / "small.gz").mkdir()
    (place / "large.br").write_bytes(b"secret\n")
    (place / "large.br").chmod(0)
    text = '[limits]\ncache_revalidate = "0s"\n'
    options = ("--cpus", "0", "--precompressed", "br,gzip", "--config", config(text))
    server = start(*options, root=place)
    for _ in range(5):
        assert ask(server, "small").body == b"packed\n"
        assert ask(server, "large").body == noise(SIZES["large"], 1)
    (place / "small.br").unlink()
    assert encoding(server, "small") is None, "at once"
