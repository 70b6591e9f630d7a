"""What it costs to ask the kernel about connections: the right ones answer."""

from __future__ import annotations

import pytest

from perf import cli
from perf.errors import PerfError
from perf.results import Result
from perf.workloads import sensing


@pytest.mark.parametrize("row", sensing.ROWS)
def test_every_way_tells_of_every_connection(row: str) -> None:
    with sensing.connected(50) as ends:
        assert sensing.ROWS[row](ends) == 50


def test_a_dump_tells_of_nobody_elses() -> None:
    with sensing.connected(3) as mine, sensing.connected(40):
        assert sensing.dump(mine) == 3


def test_a_refusal_of_the_kernel_is_an_error() -> None:
    refused = sensing._HEAD.pack(36, sensing.NLMSG_ERROR, 0, 1, 0) + bytes(20)
    with pytest.raises(PerfError, match="refused"):
        sensing._walk(refused)


def test_too_many_connections_are_refused_before_any_is_made() -> None:
    common = sensing.SensingCommon(rounds=1)
    with pytest.raises(PerfError, match="open files"):
        sensing.command(connections=[10, 10**7], common=common)


def test_each_row_is_a_sample_of_each_case(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Result] = []
    monkeypatch.setattr(cli.terminal, "show", lambda _, result: found.append(result))
    common = sensing.SensingCommon(rounds=1)
    assert sensing.command(connections=[10], common=common) == 0
    assert {s.server for s in found[0].samples} == set(sensing.ROWS)
    assert all(s.values["each_us"] > 0 for s in found[0].samples)
