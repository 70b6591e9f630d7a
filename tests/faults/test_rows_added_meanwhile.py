"""An engine adds a row while Python changes what new rows get."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from penstock import _testing
from penstock._engine import ClientTable
from penstock.allowances import Allowance

MB = 10**6
ADDING_NS = 200_000_000  # long enough for any change that does not wait for it


@contextmanager
def adding(table: ClientTable) -> Iterator[None]:
    row = _testing.SlowlyAddedRow()
    engine = threading.Thread(target=row.add, args=(table, 1, ADDING_NS))
    engine.start()
    while not row.has_begun:
        time.sleep(0)
    yield
    engine.join()


def test_a_cap_of_the_default_class_reaches_a_row_that_is_being_added() -> None:
    table = ClientTable(rows=8, default_rate_bps=9 * MB)
    with adding(table):
        table.set_default_cap(2 * MB, "schedule")
    [row] = table.snapshot()
    assert (row.rate_bps, row.effective_bps) == (9 * MB, 2 * MB)


def test_another_default_class_reaches_a_row_that_is_being_added() -> None:
    table = ClientTable(rows=8, default_rate_bps=9 * MB)
    with adding(table):
        table.configure(default=Allowance(MB), total=Allowance())
    [row] = table.snapshot()
    assert (row.rate_bps, row.effective_bps) == (MB, MB)


def test_a_row_that_is_being_added_does_not_stay_in_a_group_that_ends() -> None:
    table = ClientTable(rows=8)
    table.set_group("g", Allowance(MB), "api")
    table.configure(default=Allowance(), total=Allowance(), default_group="g")
    with adding(table):
        table.drop_group("g")
    table.set_group("another", Allowance(), "api")  # in the same row
    [row] = table.snapshot()
    assert row.group is None
