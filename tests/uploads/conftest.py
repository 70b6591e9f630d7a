"""Fixtures of the tests of uploads."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.uploads.store import FileStore
from tests.uploads.asking import Site
from tests.uploads.diskstore import DiskStore
from tests.uploads.served import UploadSite, serving_uploads
from tests.uploads.stores import Places
from tests.uploads.tusasking import Tus


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@asynccontextmanager
async def on_disk(places: Places) -> AsyncIterator[Site]:
    async with FileStore.opened(
        places.root, places.folder, places.limits, clock=lambda: made.now
    ) as store:
        made = Site(DiskStore(store, places))
        yield made


@pytest.fixture(params=["memory", "disk"])
async def site(request: pytest.FixtureRequest, places: Places) -> AsyncIterator[Site]:
    """With the store that only behaves like one, and with the real one."""
    if request.param == "memory":
        made = Site()
        yield made
        made.store.close()
        return
    async with on_disk(places) as made:
        yield made


@pytest.fixture
async def disk(places: Places) -> AsyncIterator[Site]:
    """With the real store only, whose inner parts a test holds up or lets fail."""
    async with on_disk(places) as made:
        yield made


@pytest.fixture
def tus(site: Site) -> Tus:
    return Tus(site)


@pytest.fixture(scope="session")
def shared_uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadSite]:
    with serving_uploads(tmp_path_factory.mktemp("uploads")) as site:
        yield site


@pytest.fixture
def uploads(shared_uploads: UploadSite) -> Iterator[UploadSite]:
    """A real server that takes uploads; balanced after each test."""
    yield shared_uploads
    shared_uploads.check_balance()


@pytest.fixture
def start_uploads(tmp_path: Path) -> Iterator[Callable[..., UploadSite]]:
    """Start one of the test's own, or one more after the last, on the same folders."""
    with ExitStack() as stack:

        def start(*options: str, **said: Any) -> UploadSite:
            return stack.enter_context(serving_uploads(tmp_path, *options, **said))

        yield start
