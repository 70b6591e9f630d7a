"""Fixtures of the tests of uploads."""

from pathlib import Path

import pytest

from tests.uploads.stores import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)
