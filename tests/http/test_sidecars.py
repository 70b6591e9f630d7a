"""Which files count as sidecars, and what they cost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.precompressed import OPTIONS, SIZES, SUFFIXES, content, fill_place, is_itself
from tests.serving import Server

NS_PER_S = 10**9
THEN_NS = 1_600_000_000 * NS_PER_S


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return fill_place(tmp_path / "web")


@pytest.fixture
def web(start: Callable[..., Server], place: Path) -> Server:
    return start(*OPTIONS, root=place)


@pytest.mark.parametrize("name", SIZES)
def test_last_modified_is_that_of_the_sidecar(
    start: Callable[..., Server], place: Path, name: str
) -> None:
    os.utime(place / name, ns=(THEN_NS, THEN_NS))
    os.utime(place / f"{name}.br", ns=(THEN_NS, THEN_NS + 3600 * NS_PER_S))
    server = start(*OPTIONS, root=place)
    assert server.get(f"/{name}")["last-modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    encoded = server.get(f"/{name}", accept_encoding="br")
    assert encoded["last-modified"] == "Sun, 13 Sep 2020 13:26:40 GMT"


@pytest.mark.parametrize("name", SIZES)
def test_a_sidecar_that_is_a_link_to_the_file_has_another_etag(
    web: Server, place: Path, name: str
) -> None:
    (place / f"{name}.br").unlink()
    os.link(place / name, place / f"{name}.br")
    encoded = web.get(f"/{name}", accept_encoding="br")
    assert encoded["content-encoding"] == "br"
    assert encoded["etag"] != web.get(f"/{name}")["etag"]


@pytest.mark.parametrize("name", SIZES)
def test_a_sidecar_older_than_its_file_is_not_used(
    start: Callable[..., Server], place: Path, name: str
) -> None:
    os.utime(place / name, ns=(THEN_NS, THEN_NS))
    os.utime(place / f"{name}.br", ns=(THEN_NS, THEN_NS - 1))
    os.utime(place / f"{name}.gz", ns=(THEN_NS, THEN_NS))
    (place / f"{name}.zst").unlink()
    server = start(*OPTIONS, root=place)
    every = "br, zstd, gzip"
    assert server.get(f"/{name}", accept_encoding=every)["content-encoding"] == "gzip"
    assert server.total("sidecars_stale_total") == 1
    is_itself(server.get(f"/{name}", accept_encoding="br"), name)


def test_a_time_copied_in_whole_seconds_is_not_older(
    start: Callable[..., Server], place: Path
) -> None:
    os.utime(place / "small.js", ns=(THEN_NS, THEN_NS + 999_999_999))
    os.utime(place / "small.js.br", ns=(THEN_NS, THEN_NS))
    server = start(*OPTIONS, root=place)
    encoded = server.get("/small.js", accept_encoding="br")
    assert encoded["content-encoding"] == "br"
    assert server.total("sidecars_stale_total") == 0


def test_a_file_whose_sidecars_are_all_stale_does_not_vary(
    start: Callable[..., Server], place: Path
) -> None:
    for suffix in SUFFIXES.values():
        os.utime(place / f"small.js{suffix}", ns=(THEN_NS, THEN_NS))
    response = start(*OPTIONS, root=place).get("/small.js", accept_encoding="br")
    is_itself(response, "small.js")
    assert "vary" not in response.headers


def _make_link_out(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _make_link_above(path: Path) -> None:
    (path.parent.parent / "outside.br").write_bytes(b"outside\n")
    path.symlink_to("../outside.br")


def _make_unreadable(path: Path) -> None:
    path.write_bytes(b"secret\n")
    path.chmod(0)


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "fifo": os.mkfifo,
    "link out": _make_link_out,
    "link above": _make_link_above,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "unreadable": _make_unreadable,
}


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("name", SIZES)
def test_what_could_not_be_served_is_no_sidecar(
    start: Callable[..., Server], place: Path, name: str, kind: str
) -> None:
    (place / f"{name}.br").unlink()
    UNUSABLE[kind](place / f"{name}.br")
    server = start(*OPTIONS, root=place)
    for _ in range(3):
        is_itself(server.get(f"/{name}", accept_encoding="br"), name)
        both = server.get(f"/{name}", accept_encoding="br, gzip;q=0.5")
        assert both["content-encoding"] == "gzip", "the next best one"


def test_a_link_within_the_root_is_followed(web: Server, place: Path) -> None:
    (place / "small.js.br").rename(place / "elsewhere")
    (place / "small.js.br").symlink_to("elsewhere")
    encoded = web.get("/small.js", accept_encoding="br")
    assert encoded.body == content("small.js", "br")


def test_hidden_files_stay_hidden(web: Server, place: Path) -> None:
    (place / ".hidden").write_bytes(b"hidden\n")
    (place / ".hidden.br").write_bytes(b"packed\n")
    for path in ("/.hidden", "/.hidden.br", "/"):
        assert web.get(path, accept_encoding="br").status == 404


def test_a_known_sidecar_costs_no_look_at_the_disk(
    start: Callable[..., Server], place: Path, config: Callable[[str], str]
) -> None:
    """Present, absent or unreadable: known as long as the entry is."""
    _make_unreadable(place / "alone.js.gz")
    text = '[limits]\ncache_revalidate = "1h"\n'
    server = start(*OPTIONS, "--config", config(text), root=place)
    with server.client() as client:

        def ask_all() -> None:
            for name in (*SIZES, "alone.js"):
                for encoding in ("br", "gzip", "identity"):
                    client.get(f"/{name}", accept_encoding=encoding)

        ask_all()
        misses = server.total("cache_misses_total")
        for _ in range(5):
            ask_all()
        assert server.total("cache_misses_total") == misses
