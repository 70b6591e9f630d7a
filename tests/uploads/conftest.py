"""Fixtures of the tests of uploads."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.uploads.store import FileStore
from tests.uploads.asking import Site
from tests.uploads.diskstore import DiskStore
from tests.uploads.stores import Places
from tests.uploads.tusasking import Tus


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture(params=["memory", "disk"])
async def site(request: pytest.FixtureRequest, places: Places) -> AsyncIterator[Site]:
    """With the store that only behaves like one, and with the real one."""
    if request.param == "memory":
        made = Site()
        yield made
        made.store.close()
        return
    async with FileStore.opened(
        places.root, places.folder, places.limits, clock=lambda: made.now
    ) as store:
        made = Site(DiskStore(store, places))
        yield made


@pytest.fixture
def tus(site: Site) -> Tus:
    return Tus(site)
