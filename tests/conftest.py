"""Fixtures of the black-box tests: a real server, and nothing left behind."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, running
from tests.turns import turn

SMALL_FILE_BYTES = 16384  # the default of limits.small_file_bytes
BIG_BYTES = 10 * 1024 * 1024 + 17


LONG_BYTES = 1000


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Say where two long bodies part, not all of both."""
    if op != "==" or not (isinstance(left, bytes) and isinstance(right, bytes)):
        return None
    if max(len(left), len(right)) < LONG_BYTES:
        return None
    pairs = enumerate(zip(left, right, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))
    return [
        f"{len(left)} bytes == {len(right)} bytes",
        f"at {at}: {left[at : at + 20]!r} is not {right[at : at + 20]!r}",
    ]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Folders are shared out: one process more than CPUs, since tests also wait. Single
    files and tests run in this process, which starts sooner, and can be debugged."""
    asked = [Path(argument.partition("::")[0]) for argument in config.args]
    if not all(path.is_dir() for path in asked):
        return 0
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around set-up, too, and before the time limit of the test begins."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def noise(n: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(n)


def fill_root(root: Path) -> None:
    """Files of every kind that the tests ask for."""
    (root / "dir").mkdir(parents=True)
    (root / "bare").mkdir()
    (root / "index.html").write_bytes(b"<p>root</p>\n")
    (root / "dir" / "index.html").write_bytes(b"<p>dir</p>\n")
    (root / "hello.txt").write_bytes(b"hello, world\n")
    (root / "empty").write_bytes(b"")
    (root / ".secret").write_bytes(b"hidden\n")
    (root / "a b&ü.txt").write_bytes(b"named\n")
    for delta in (-1, 0, 1):
        size = SMALL_FILE_BYTES + delta
        (root / f"edge{delta:+d}").write_bytes(noise(size))
    (root / "1m").write_bytes(noise(1 << 20))
    (root / "big").write_bytes(noise(BIG_BYTES))
    (root / "inside").symlink_to("hello.txt")
    (root / "loop").symlink_to("loop")


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    fill_root(path)
    return path


@pytest.fixture(scope="session")
def shared_server(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with running(root, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The server that most tests share; balanced after each of them."""
    yield shared_server
    shared_server.check_balance()


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with other options; each is checked and stopped at the end."""
    with ExitStack() as stack:
        started: list[Server] = []

        def start_one(*options: str, **kwargs: Any) -> Server:
            where = kwargs.pop("root", root)
            server = stack.enter_context(running(where, tmp_path, *options, **kwargs))
            started.append(server)
            return server

        yield start_one
        for server in started:
            if server.process.poll() is None:
                server.check_balance()


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    """Write a configuration file; returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "penstock.toml"
        path.write_text(text)
        return str(path)

    return write
