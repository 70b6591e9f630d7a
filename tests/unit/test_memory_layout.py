"""What many decisions touch: few cache lines, and pages only as needed."""

import pytest

from penstock import _testing

CACHE_LINE_BYTES = 64
HALF_PAGE_BYTES = 2048


@pytest.mark.parametrize(
    ("name", "lines"), [("client", 4), ("gatequeue", 2), ("transfer", 2)]
)
def test_rows_of_large_tables_are_whole_cache_lines(name: str, lines: int) -> None:
    """Else a row would straddle one line more than it must."""
    assert _testing.sizes()[name] == lines * CACHE_LINE_BYTES


def test_an_ordinary_message_lies_in_one_page() -> None:
    """Items follow each other: the first half page of none may straddle."""
    assert _testing.sizes()["message"] % HALF_PAGE_BYTES == 0
