"""What a real server asks of the kernel between a request and its answer.

The engine receives, writes into the part and sends the answer by io_uring, of which
strace shows nothing. What it shows is where the two sides hand over: the engine's
threads write to an eventfd when bytes are in the file, Trio's thread does when there is
an answer to be sent. When the client had it, the client's clock says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Server
from tests.tracing import Call, calls, traced
from tests.uploads.process.uploading import Remote, uploading

WATCHED = "trace=write,fdatasync,fsync,linkat"
DATA = noise(100_000)
# What may come before the first sync: the head, the order to receive, the bytes.
RECEIVED = "(engine )(trio engine )+"


@dataclass
class Window:
    """From before a request was sent until its answer was there."""

    name: str
    begin: float
    end: float = 0.0


def word(call: Call, server: Server, root: Path) -> str:
    """What a call means; nothing, if it is no step."""
    path = Path(call.path)
    if call.name == "linkat":
        return "link"
    if call.name == "write":
        if "eventfd" not in call.path:
            return ""
        return "trio" if call.thread == server.pid else "engine"
    if path.suffix == ".part":
        return f"part-{call.name}"
    if path.name.startswith("ledger.sqlite"):
        return "ledger"
    return "folder" if path.is_relative_to(root) else "uploads"


def sentence(words: Iterable[str]) -> str:
    """Repetitions are one: a ledger's commit may be two, and so may a wake-up."""
    said = [""]
    said.extend(one for one in words if one)
    return "".join(f"{after} " for before, after in pairwise(said) if before != after)


@pytest.fixture
def seen(tmp_path: Path) -> dict[str, str]:
    """By request, what was asked for."""
    windows: list[Window] = []
    log = tmp_path / "strace"
    with uploading(tmp_path, "--cpus", "0") as server:
        options = ("-y", "-ttt", "-e", WATCHED)
        with traced(server, *options, log=str(log)), server.client() as client:
            upload = Remote("to/file", DATA)
            steps = {
                "POST": lambda: upload.begin(client),
                "PUT": lambda: upload.send(client, 0, 50_000),
                "last PUT": lambda: upload.send(client, 50_000, len(DATA)),
            }
            for name, step in steps.items():
                windows.append(Window(name, time.time()))
                assert step().status in (200, 201)
                windows[-1].end = time.time()
        found = list(calls(log))
    return {
        window.name: sentence(
            word(call, server, tmp_path / "root")
            for call in found
            if window.begin <= call.at <= window.end
        )
        for window in windows
    }


def test_each_answer_comes_after_what_it_says_is_on_the_disk(
    seen: dict[str, str],
) -> None:
    wanted = {
        "POST": "engine part-fsync uploads ledger trio ",
        "PUT": RECEIVED + "part-fdatasync ledger trio ",
        "last PUT": RECEIVED + "part-fsync ledger folder link folder ledger trio ",
    }
    for name, pattern in wanted.items():
        assert re.fullmatch(pattern, seen[name]), (name, seen[name])
