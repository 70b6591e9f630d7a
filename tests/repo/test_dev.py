"""./dev: what it says before anything can be set up."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# What a small system has beside the shell; no compiler, no package manager.
TOOLS = (
    "awk cat chmod cksum dirname env find flock grep head id mkdir mv readlink rm "
    "sort tr"
).split()
VERBS = ("serve", "test", "build", "lint", "bench", "doctor", "penstock", "help")


def dev(
    folder: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(folder / "dev"), *words],
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def fresh(root: Path, tmp_path: Path) -> Path:
    """A folder like a new clone, with a space in its path."""
    folder = tmp_path / "new clone"
    folder.mkdir()
    for name in ("dev", "pyproject.toml", "constraints.txt", "setup.py"):
        shutil.copy(root / name, folder)
    (folder / "deploy").mkdir()
    shutil.copy(root / "deploy" / "packages.txt", folder / "deploy")
    return folder


@pytest.fixture
def small_system(tmp_path: Path) -> str:
    """A PATH with ``TOOLS`` only."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (folder / tool).symlink_to(found)
    return str(folder)


def test_help_names_every_verb(root: Path) -> None:
    done = dev(root, "help")
    assert done.returncode == 0
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)


def test_an_unknown_verb_is_refused_with_the_list_of_verbs(root: Path) -> None:
    done = dev(root, "sreve")
    assert done.returncode == 2
    assert "error: no such verb: sreve" in done.stderr
    assert "serve [DIR]" in done.stderr


def test_without_apt_get_it_names_the_packages_of_other_distributions(
    fresh: Path, small_system: str
) -> None:
    done = dev(fresh, "build", PATH=small_system)
    assert done.returncode == 2
    assert "error: missing: " in done.stderr
    for line in ("dnf install ", "pacman -S --needed ", "apk add "):
        [names] = [x for x in done.stderr.splitlines() if line in x]
        assert "gcc" in names
        assert "liburing" in names
    assert not (fresh / ".venv").exists()


def test_a_python_that_was_asked_for_and_is_missing_is_not_replaced(
    fresh: Path, small_system: str
) -> None:
    done = dev(fresh, "lint", PATH=small_system, PYTHON="/no/such/python")
    assert done.returncode == 2
    assert "error: missing: python " in done.stderr
    assert not (fresh / ".venv").exists()


def test_pip_without_an_index_is_one_clear_line(fresh: Path) -> None:
    """Port 9 of this machine stands for a network that does not answer."""
    done = dev(
        fresh,
        "lint",
        HOME=str(fresh),
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_NO_CACHE_DIR="1",
        PIP_RETRIES="0",
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("penstock: error: pip could not install")
    assert "reachable?" in last
    assert list((fresh / ".venv").glob(".packages-*")) == []
