"""Networks and servers of a test, which end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from perf.lab.network import Lab
from tests.inlab import lab_or_skip, place
from tests.serving import Server, running


@pytest.fixture
def open_lab() -> Iterator[Callable[..., Lab]]:
    """Open networks; the arguments are those of ``perf.lab.network.opened``."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(lab_or_skip(**options))


@pytest.fixture
def serve(
    open_lab: Callable[..., Lab], root: Path, tmp_path: Path
) -> Iterator[Callable[..., Server]]:
    """Start servers at the server's end of a network, which is checked to have given
    everything back."""
    with ExitStack() as stack:
        started: list[Server] = []

        def start_one(lab: Lab, *options: str) -> Server:
            at = place(lab)
            server = stack.enter_context(running(root, tmp_path, *options, place=at))
            started.append(server)
            return server

        yield start_one
        for server in started:
            server.check_balance()
