"""A real server in a network made for one test, with the loss and delay it wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from perf.lab.ends import SERVER_HOST
from perf.lab.network import Lab, LabUnavailableError, opened
from tests.serving import Place


@contextmanager
def lab_or_skip(**options: Any) -> Iterator[Lab]:
    """As ``perf.lab.network.opened``; skips where that is not permitted."""
    try:
        with opened(**options) as lab:
            yield lab
    except LabUnavailableError as error:
        pytest.skip(f"no network of its own: {error}")


def place(lab: Lab, client: int = 0) -> Place:
    """The server's end, seen by the client with that number."""
    return Place(
        host=SERVER_HOST,
        inside=lab.inside("server"),
        door=lab.door,
        open_socket=partial(lab.client_socket, client),
    )
