"""``python -m tests.uploads.victim HOME [STEP TIMES]``: a process that goes on with
uploads in a random order, says what was acknowledged, and kills itself when a step of
the store was done so often.

Each line that it writes is an acknowledgement: ``ID START END``, or ``ID done``.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import trio

from penstock.uploads.model import SessionState, Upload
from penstock.uploads.store import FileStore
from tests.uploads.stores import NOW, Body, Places, digests, new_upload

SIZE = 120_000
CONTENTS = {name: random.Random(name).randbytes(SIZE) for name in ("a", "b", "c")}
REPLACING = "c"  # a file that is there already
RANGE_MAX = 40_000
COMMAND = (sys.executable, "-m", "tests.uploads.victim")
_ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{_ROOT / 'server'}:{_ROOT}"}


def killing(step: str, times: int) -> Callable[[str], None]:
    left = times

    def count(name: str) -> None:
        nonlocal left
        left -= name == step
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def acknowledge(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def prepare(places: Places) -> None:
    """The file that is replaced, and no other."""
    folder = places.root / "to"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / REPLACING).write_text("old")


async def created(store: FileStore, name: str) -> Upload:
    found = store.find(name)
    if found is not None:
        return found
    data = CONTENTS[name]
    new = new_upload(
        name,
        length=SIZE,
        target=f"to/{name}",
        want=digests(data),
        replaces="*" if name == REPLACING else None,
    )
    return await store.create(new, now=NOW)


async def send(store: FileStore, name: str) -> None:
    upload = await created(store, name)
    data = CONTENTS[name]
    while not upload.is_whole:
        start = random.choice([upload.offset, random.randrange(SIZE)])
        end = min(SIZE, start + random.randint(1, RANGE_MAX))
        await store.write(upload, start, end, Body(data[start:end], piece=4096))
        acknowledge(f"{name} {start} {end}")
    if upload.state is not SessionState.COMPLETED:
        await store.finish(upload)
    acknowledge(f"{name} done")


async def main(home: Path, step: Callable[[str], None]) -> None:
    async with Places(home).store(step) as store, trio.open_nursery() as nursery:
        for name in CONTENTS:
            nursery.start_soon(send, store, name)


if __name__ == "__main__":
    home, *kill = sys.argv[1:]
    step = killing(kill[0], int(kill[1])) if kill else lambda _: None
    trio.run(main, Path(home), step)
