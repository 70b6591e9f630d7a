"""What a case is called, by which tables and comparisons know it."""

from perf.cases import Case, combined


def test_a_case_is_called_by_its_size_its_connections_and_what_differs() -> None:
    assert Case(1024, 1).title() == "1 KiB, 1 connection"
    assert Case(3 << 20, 16, "bbr").title() == "3 MiB, 16 connections, bbr"


def test_every_combination_is_a_case_one_congestion_control_after_the_other() -> None:
    found = combined([1, 2], [3, 4], ["cubic", "bbr"])
    assert len(found) == 8
    assert list(found.values())[:2] == [Case(1, 3, "cubic"), Case(1, 4, "cubic")]
    assert {case.congestion for case in list(found.values())[:4]} == {"cubic"}
    assert all(title == case.title() for title, case in found.items())
