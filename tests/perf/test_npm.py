"""Packages of Node.js for a peer: installed once, or told why not."""

from pathlib import Path

import pytest

from perf.errors import PerfError
from perf.servers import UPLOADERS, Setup, npm

WANTED = {"some-package": "1.2.3"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH but for what a shell needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_packages_are_installed_once_outside_of_the_tree(
    programs: Path, tmp_path: Path
) -> None:
    program(programs, "npm", 'echo "$@" >>calls; cp package.json wanted')
    folder = npm.packages(WANTED)
    assert npm.packages(WANTED) == folder
    assert folder.is_relative_to(tmp_path / "caches")
    assert len((folder / "calls").read_text().splitlines()) == 1
    assert (folder / "wanted").read_text() == (
        '{"dependencies": {"some-package": "1.2.3"}}'
    )


def test_packages_that_can_not_be_had_are_told_and_tried_again(programs: Path) -> None:
    program(programs, "npm", "echo no network >&2; exit 1")
    with pytest.raises(PerfError, match="npm could not install: no network"):
        npm.packages(WANTED)
    program(programs, "npm", "exit 0")
    npm.packages(WANTED)


def test_a_changed_script_is_copied_anew(tmp_path: Path) -> None:
    script, folder = tmp_path / "a.mjs", tmp_path / "packages"
    folder.mkdir()
    for text in ("old", "new"):
        script.write_text(text)
        assert npm.beside(folder, script).read_text() == text
    assert [path.name for path in folder.iterdir()] == ["a.mjs"]


def test_a_peer_that_needs_node_says_what_it_lacks(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = UPLOADERS["tus-node"]
    setup = Setup(tmp_path, [0], uploads=1)
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    assert peer.version() is None
    monkeypatch.setattr(npm.shutil, "which", lambda name: None if name == "npm" else "")
    program(programs, "node", "echo v20.18.1")
    assert peer.unfit(setup) == "it needs node 20.19 or later"
    program(programs, "node", "echo v20.19.0")
    assert peer.version() == "2.4.5 (node 20.19.0)"
    assert peer.unfit(setup) == "npm is not installed"
