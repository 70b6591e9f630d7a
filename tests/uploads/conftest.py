from collections.abc import Iterator

import pytest

from tests.uploads.asking import Site
from tests.uploads.tusasking import Tus


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.store.close()


@pytest.fixture
def tus(site: Site) -> Tus:
    return Tus(site)
