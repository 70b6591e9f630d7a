"""Usage and held rows of the real client table, without an engine."""

from __future__ import annotations

import gc

import pytest

from penstock._engine import ClientTable
from penstock.allowances import Allowance
from penstock.usage import Sent

MB = 10**6


@pytest.fixture
def table() -> ClientTable:
    return ClientTable(rows=200)


def move(table: ClientTable, client_id: str, n_bytes: int) -> None:
    row = table.hold(client_id)
    row.settle(n_bytes)
    row.release()


def test_every_byte_is_taken_once_whether_a_control_pass_came_or_not(
    table: ClientTable,
) -> None:
    usage = table.usage()
    assert usage.take() == []
    move(table, "a", 10)
    assert usage.take() == [Sent("a", 10)]
    move(table, "a", 5)
    table.share()
    move(table, "b", 7)
    assert usage.take() == [Sent("a", 5), Sent("b", 7)]
    table.share()
    assert usage.take() == []


def test_many_clients_are_all_seen(table: ClientTable) -> None:
    usage = table.usage()
    for i in range(200):
        move(table, f"c{i}", i + 1)
    assert sum(one.n_bytes for one in usage.take()) == 200 * 201 // 2


def test_who_and_of_what_class_and_under_which_cap(table: ClientTable) -> None:
    usage = table.usage()
    table.set_group("g", Allowance(), "file")
    table.set_client("a", Allowance(MB), "g", "file")
    table.set_cap("b", 5000, "quota")
    for client_id in ("a", "b", "192.0.2.7"):
        move(table, client_id, 1)
    assert usage.take() == [
        Sent("a", 1, "g", is_default=False),
        Sent("b", 1, cap_bps=5000),
        Sent("192.0.2.7", 1),
    ]


def test_a_held_row_takes_and_gives_back_its_clients_tokens(
    table: ClientTable,
) -> None:
    table.set_rate("a", MB)
    row = table.hold("a")
    assert row.quantum_bytes() == MB // 20
    assert row.take(500_000) == 0
    assert 0 < row.take(1) <= 500_000_000
    row.refund(500_000)
    assert row.take(1) == 0
    for n_bytes in (0, -1, (1 << 20) + 1):
        with pytest.raises(ValueError, match="can not be taken at once"):
            row.take(n_bytes)


def test_a_held_row_is_a_transfer_until_it_is_released_or_dropped(
    table: ClientTable,
) -> None:
    def transfers() -> int:
        found = table.find("a")
        assert found is not None
        return found.transfers

    first, second = table.hold("a"), table.hold("a")
    assert transfers() == 2
    first.release()
    first.release()
    assert transfers() == 1
    del second
    gc.collect()
    assert transfers() == 0


def test_who_can_be_no_client_is_not_held(table: ClientTable) -> None:
    with pytest.raises(ValueError, match="client_id"):
        table.hold("")
    held = [table.hold(f"c{i}") for i in range(200)]
    with pytest.raises(OverflowError, match="full"):
        table.hold("one too many")
    held[7].release()
    table.hold("one in its place").release()
    assert table.find("c7") is None
    assert table.recycled_total == 1


def test_a_cap_of_the_default_class_binds_those_who_have_no_limit_of_their_own(
    table: ClientTable,
) -> None:
    table.configure(default=Allowance(10 * MB), total=Allowance())
    table.set_rate("vip", 9 * MB)
    table.set_cap("slow", MB, "quota")
    table.set_default_cap(2 * MB, "schedule")
    names = ("vip", "slow", "a")
    for name in names:
        move(table, name, 1)

    def effective() -> list[int]:
        for name in names:
            move(table, name, 1)
        gc.collect()
        table.share()
        return [row.effective_bps for name in names if (row := table.find(name))]

    assert effective() == [9 * MB, MB, 2 * MB]
    row = table.find("a")
    assert row is not None
    assert (row.rate_bps, row.cap_bps) == (10 * MB, 2 * MB)
    table.set_default_cap(0)
    assert effective() == [9 * MB, MB, 10 * MB]


def test_a_cap_is_no_change_of_the_configuration(table: ClientTable) -> None:
    table.set_group("g", Allowance(), "file")
    before = table.version
    table.set_cap("a", MB, "quota")
    table.set_group_cap("g", MB, "quota")
    table.set_total_cap(MB, "schedule")
    table.set_default_cap(MB, "schedule")
    assert table.version == before


def test_a_group_takes_its_cap_with_it(table: ClientTable) -> None:
    table.set_group("g", Allowance(), "api")
    table.set_group_cap("g", MB, "quota")
    table.drop_group("g")
    table.set_group("h", Allowance(), "api")
    assert [(g.name, g.cap_bps) for g in table.groups()] == [("h", 0)]


def test_what_all_clients_were_sent_together_outlasts_their_rows(
    table: ClientTable,
) -> None:
    assert table.server().bytes_total == 0
    for i in range(400):  # in 200 rows
        move(table, f"c{i}", 5)
    assert table.recycled_total == 200
    assert table.server().bytes_total == 400 * 5


def test_the_server_runs_at_the_lower_of_rate_and_cap(table: ClientTable) -> None:
    def limits() -> tuple[int, int, int]:
        row = table.server()
        return row.rate_bps, row.effective_bps, row.cap_bps

    assert limits() == (0, 0, 0)
    table.configure(default=Allowance(), total=Allowance(9 * MB))
    assert limits() == (9 * MB, 9 * MB, 0)
    table.set_total_cap(2 * MB, "schedule")
    assert limits() == (9 * MB, 2 * MB, 2 * MB)
    table.set_total_cap(0)
    assert limits() == (9 * MB, 9 * MB, 0)
    assert table.server().limited_by == "none"
