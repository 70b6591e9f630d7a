"""kill -9 at every step and anywhere: nothing that was acknowledged is lost, nothing is
claimed that is not in the file, and every upload goes on and verifies."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess

import pytest
import trio

from penstock.uploads import spans
from penstock.uploads.model import SessionState
from penstock.uploads.store import FileStore
from tests.uploads import victim
from tests.uploads.stores import Places

STEPS = (
    ["part created", "created", "written", "synced", "recorded"]
    + ["verifying", "verified", "file synced", "published", "directory synced"]
    + ["completed", "released"]
)
CRASHES_OF_ONE = 40  # at any point, one after the other


def run(places: Places, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*victim.COMMAND, str(places.home), *arguments],
        env=victim.ENVIRONMENT,
        stdout=subprocess.PIPE,
    )


def acknowledged(said: bytes) -> dict[str, spans.Spans]:
    """By upload; of one that is done everything. A line that is cut was not said."""
    found: dict[str, spans.Spans] = {}
    for line in said.decode().splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        name, *words = line.split()
        start, end = (0, victim.SIZE) if words == ["done"] else map(int, words)
        found[name] = spans.add(found.get(name, ()), start, end)
    return found


def check(places: Places, store: FileStore, said: bytes) -> None:
    for name, wanted in acknowledged(said).items():
        upload = store.find(name)
        assert upload is not None, name
        for start, end in wanted:
            assert spans.covers(upload.spans, start, end), (name, start, end)
        done = f"{name} done\n".encode() in said
        assert not done or upload.state is SessionState.COMPLETED
    for name, data in victim.CONTENTS.items():
        upload = store.find(name)
        if upload is None:
            assert not places.part(name).exists(), "a part without a session"
            continue
        published = places.root / "to" / name
        completed = upload.state is SessionState.COMPLETED
        assert completed or upload.state is SessionState.OPEN, upload.why
        is_there = published.exists() and published.read_bytes() == data
        assert is_there == completed
        assert places.part(name).exists() != completed
        content = (published if completed else places.part(name)).read_bytes()
        for start, end in upload.spans:
            assert content[start:end] == data[start:end], (name, start, end)


def recover(places: Places, said: bytes, *, go_on: bool) -> None:
    """As the next process finds it."""

    async def check_all() -> None:
        async with places.store() as store:
            check(places, store, said)
            if go_on:
                await finish_all(places, store)

    trio.run(check_all)


async def finish_all(places: Places, store: FileStore) -> None:
    for name, data in victim.CONTENTS.items():
        await victim.send(store, name)
        assert (places.root / "to" / name).read_bytes() == data
    assert list(places.folder.glob("*.part")) == []


@pytest.fixture(autouse=True)
def _prepared(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    victim.prepare(places)
    monkeypatch.setattr(victim, "acknowledge", lambda _: None)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("step", STEPS)
def test_killed_after_a_step(places: Places, step: str, times: int) -> None:
    with run(places, step, str(times)) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "the step was never done"
    recover(places, said, go_on=True)


@pytest.mark.slow
def test_killed_anywhere_again_and_again(places: Places) -> None:
    """The same uploads go on through all crashes; from time to time they are begun
    anew, so that no part of their life is rare."""
    random_ = random.Random(3)
    said = b""
    for number in range(CRASHES_OF_ONE):
        said += killed(places, random_.uniform(0, 0.1), after_a_word=bool(number % 3))
        recover(places, said, go_on=False)
        if all(f"{name} done".encode() in said for name in victim.CONTENTS):
            said = b""
            victim.prepare(places)
            shutil.rmtree(places.folder)
    recover(places, said, go_on=True)


def killed(places: Places, seconds: float, *, after_a_word: bool) -> bytes:
    """What it said in so many seconds since it began, or since its first word."""
    with run(places) as process:
        assert process.stdout is not None
        said = process.stdout.read(1) if after_a_word else b""
        try:
            process.wait(seconds if after_a_word else 5 * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        said += process.stdout.read()
    return said[: said.rfind(b"\n") + 1]
