"""Paths never leave the root, and only regular files are served."""

from __future__ import annotations

import itertools
import os
import socket
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import Server, request


@pytest.fixture
def tricky(tmp_path: Path) -> Path:
    """A root with everything in it that must not get out."""
    secret = tmp_path / "secret.txt"
    secret.write_text("outside\n")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "real.txt").write_text("inside\n")
    (root / "absolute").symlink_to(secret)
    (root / "relative").symlink_to("../secret.txt")
    (root / "sub" / "up").symlink_to("../../secret.txt")
    (root / "outdir").symlink_to(tmp_path)
    (root / "sub" / "within").symlink_to("../real.txt")
    (root / "absolute-inside").symlink_to(root / "real.txt")
    (root / "linked").symlink_to("sub")
    (root / "to-hidden").symlink_to(".hidden")
    (root / "proc").symlink_to("/proc/self/root/etc/passwd")
    (root / "loop").symlink_to("loop")
    (root / ".hidden").write_text("hidden\n")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("hidden\n")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "security.txt").write_text("public\n")
    os.mkfifo(root / "fifo")
    (root / "odd").mkdir()
    (root / "odd" / "index.html").mkdir()
    return root


def test_nothing_outside_the_root_is_served(
    start: Callable[..., Server], tricky: Path
) -> None:
    server = start(root=tricky)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tricky / "socket"))
    with listener, server.client() as client:
        for path in (
            "/absolute",
            "/absolute-inside",
            "/relative",
            "/sub/up",
            "/outdir/secret.txt",
            "/proc",
            "/loop",
            "/fifo",
            "/socket",
            "/odd/",
            "/.hidden",
            "/.git/config",
            "/sub/../.hidden",
            "/real.txt/x",
            "/" + "n" * 300,
        ):
            assert client.get(path).status == 404, path
        assert client.get("/sub/within").body == b"inside\n", (
            "a link inside is followed"
        )
        assert client.get("/linked/within").body == b"inside\n"
        assert client.get("/linked")["location"] == "/linked/"
        assert client.get("/to-hidden").body == b"hidden\n"
        assert client.get("/.well-known/security.txt").body == b"public\n"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/..%5c..%5csecret.txt",
        "//../secret.txt",
        "/.%2e/secret.txt",
        "/%252e%252e/secret.txt",
    ],
)
def test_no_spelling_climbs_out(
    start: Callable[..., Server], tricky: Path, path: str
) -> None:
    server = start(root=tricky)
    with server.client() as client:
        client.send(request(path))
        response = client.read()
        assert response.status in (400, 404)
        assert b"outside" not in response.body


def test_dotfiles_can_be_shown(
    start: Callable[..., Server], tricky: Path, config: Callable[[str], str]
) -> None:
    server = start("--config", config("[limits]\nshow_dotfiles = true\n"), root=tricky)
    assert server.get("/.hidden").body == b"hidden\n"


def test_a_file_without_permission_is_403_and_seen_soon(
    start: Callable[..., Server], tricky: Path
) -> None:
    server = start(root=tricky)
    assert server.get("/real.txt").status == 200
    (tricky / "real.txt").chmod(0)
    server.wait("403", lambda: server.get("/real.txt").status == 403, 3)
    (tricky / "sub").chmod(0)
    assert server.get("/sub/within").status == 403
    (tricky / "sub").chmod(0o755)
    (tricky / "real.txt").chmod(0o644)
    assert server.get("/real.txt").body == b"inside\n"


ODD_NAMES = [
    "a b",
    "ü",
    "a%41",
    "x?y#z",
    "evil.example",
    "\\evil",
    "@evil",
    "a\r\nX: y",
]


def test_a_redirect_stays_on_this_host(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    place = tmp_path / "odd"
    for name in ODD_NAMES:
        (place / name).mkdir(parents=True)
        (place / name / "index.html").write_text("here\n")
    server = start("--cpus", "0", root=place)
    with server.client() as client:
        for slashes, name in itertools.product(("/", "//", "///", "/.//"), ODD_NAMES):
            response = client.get(slashes + urllib.parse.quote(name))
            assert response.status == 301
            location = response["location"]
            assert location == "/" + urllib.parse.quote(name, safe="@:") + "/"
            assert client.get(location).body == b"here\n"
