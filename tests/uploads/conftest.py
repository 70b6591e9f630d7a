"""Fixtures of the tests of uploads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.uploads.asking import Site
from tests.uploads.stores import Places
from tests.uploads.tusasking import Tus


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.store.close()


@pytest.fixture
def tus(site: Site) -> Tus:
    return Tus(site)
