"""Fixtures of the control plane's tests: everything real except the engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.control import Control
from penstock.loading import Source
from tests.control.fakes import FakeClients, FakeEngine, MakeControl


@pytest.fixture
def clients() -> FakeClients:
    return FakeClients()


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.close()


@pytest.fixture
def make_control(tmp_path: Path, clients: FakeClients) -> MakeControl:
    """A Control whose configuration file holds the given text."""

    def make(text: str = "", **flags: object) -> Control:
        file = tmp_path / "penstock.toml"
        file.write_text(text)
        source = Source(file, {"ROOT": tmp_path, **flags})
        return Control(source, source.load(), clients)

    return make
