"""Whose turn it is, when several processes run the tests: any number of tests side by
side, or alone one that measures time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Locks need a file, and these two are there already.
ROOM = Path(__file__)
DOOR = ROOM.parent / "conftest.py"


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait for it, and keep it for the block.

    flock(2) knows no queue: who waits to be alone could wait as long as others come.
    So it waits within the door, and others behind it.
    """
    with ROOM.open("rb") as room:
        with DOOR.open("rb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
