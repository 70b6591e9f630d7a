from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from perf import report, terminal
from perf.load.sink import SinkRun
from perf.machine import cpu_model
from perf.record import Failure, Record
from perf.results import Result, Sample
from perf.stats import Spread
from perf.workloads import limit
from tests.perf.samples import COST, MACHINE, measured


def result() -> Result:
    found = measured({"penstock": [3.0, 9.0, 2.0], "nginx": [4.0, 10.0, 4.0]})
    found.notes.append("h2o is absent")
    found.samples = [
        replace(s, limited_by="client" if s.server == "nginx" else "server")
        for s in found.samples
    ]
    return found


def printed(shown: Result, width: int = 120) -> str:
    page = StringIO()
    terminal.show(Console(width=width, file=page), shown)
    return page.getvalue()


def test_ratio_is_the_median_of_the_rounds_ratios_not_of_the_medians() -> None:
    assert result().ratio("1 KiB", "nginx", "cost") == Spread(0.5, 0.75, 0.9)


def test_figure_shows_median_and_range_or_one_number() -> None:
    assert report.figure(Spread(1.0, 2.0, 3000.0), 1) == "2.0\n1.0–3,000.0"
    assert report.figure(Spread(2.0, 2.0, 2.0), 0) == "2"
    assert report.figure(None, 0) == "–"


def test_a_metric_that_a_server_lacks_has_no_figure() -> None:
    assert result().spread("1 KiB", "lighttpd", "cost") is None


def test_report_names_machine_ratio_limits_and_notes() -> None:
    text = printed(result())
    for part in ("chip", "cubic (pinned)", "0.75", "client", "h2o is absent"):
        assert part in text


def test_where_nothing_is_sent_the_report_names_no_load_and_no_congestion_control() -> (
    None
):
    alone = replace(MACHINE, congestion_control="", load_cpu=None, versions={"x": "1"})
    _, line = report.machine_lines(alone)
    assert line == "on cpu 0 · x 1"


def test_a_case_says_which_congestion_control_was_read_back() -> None:
    found = Result("large", MACHINE, [COST])
    found.samples.append(
        Sample("penstock", "1 MiB, bbr", 0, {"cost": 1.0}, congestion="bbr")
    )
    assert [g.title for g in report.grids(found)] == ["1 MiB, bbr (read back: bbr)"]


def markdown(found: Result) -> str:
    return report.as_markdown(Record([found]))


def test_markdown_has_a_row_per_server_with_as_many_cells_as_headings() -> None:
    rows = [r for r in markdown(result()).splitlines() if r.startswith("|")]
    assert len(rows) == 4
    assert len({row.count("|") for row in rows}) == 1
    assert rows[3].startswith("| nginx | 4.00 (4.00–10.00) | 0.75 (0.50–0.90) |")


def limited(*body_bytes: int) -> Result:
    found = Result("limit", MACHINE, limit.METRICS)
    for number, count in enumerate(body_bytes):
        done = SinkRun(count, 0, 10.0, 0, 0)
        found.samples.append(limit.judge("10 MB/s", number, 10, done))
    return found


def test_limit_passes_within_one_percent_on_either_side() -> None:
    within = limited(99_000_000, 101_000_000)
    assert not within.failed()
    assert report.verdict(within, "10 MB/s", "penstock") == "pass"


def test_one_round_beyond_one_percent_fails_the_case() -> None:
    for beyond in (98_900_000, 101_100_000):
        found = limited(100_000_000, beyond)
        assert found.failed()
        assert report.verdict(found, "10 MB/s", "penstock") == "FAIL (1 of 2)"
        assert "FAIL" in printed(found)


def test_peers_keep_their_rows_beside_a_verdict() -> None:
    found = result()
    found.bound = "2 µs"
    found.samples = [
        replace(s, passed=s.values["cost"] <= 2) if s.server == "penstock" else s
        for s in found.samples
    ]
    [grid] = report.grids(found)
    assert grid.title == "1 KiB, against 2 µs"
    assert [(row[0], row[-1]) for row in grid.rows] == [
        ("penstock", "FAIL (2 of 3)"),
        ("nginx", "–"),
    ]


@pytest.mark.parametrize("width", [38, 60, 80, 120])
def test_no_figure_is_broken_or_cut_however_narrow_the_terminal(width: int) -> None:
    found = measured({"penstock": [12345.25, 54321.5], "nginx": [1.0, 1000.0]})
    words = printed(found, width).split()
    assert "12,345.25–54,321.50" in words
    assert "33,333.38" in words
    assert "…" not in "".join(words)


def test_a_verdict_is_coloured_only_where_colours_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shown(**options: bool) -> str:
        page = StringIO()
        terminal.show(Console(width=120, file=page, **options), limited(1))
        return page.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "31mFAIL" in shown(force_terminal=True)
    assert "\x1b" not in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in shown(force_terminal=True)


def test_names_are_text_in_terminal_and_markdown_never_markup() -> None:
    found = measured({"penstock": [1.0], "[/red]a|b<i>": [2.0]}, case="[bold]x")
    assert "[/red]a|b<i>" in printed(found)
    assert "[bold]x" in printed(found)
    assert "| [/red]a\\|b&lt;i> |" in markdown(found)


def test_markdown_of_a_suite_has_every_workload_and_what_failed() -> None:
    other = replace(result(), workload="large")
    found = Record([result(), other], "suite", [Failure("idle", "no descriptors")])
    text = report.as_markdown(found)
    assert text.startswith("## suite\n")
    assert [line for line in text.splitlines() if line.startswith("### ")] == [
        "### small",
        "### large",
        "### idle",
    ]
    assert "not measured: no descriptors" in text


def test_cpu_model_is_read_where_the_kernel_prints_it() -> None:
    assert cpu_model("processor : 0\nmodel name\t: Chip 9\n") == "Chip 9"
    assert cpu_model("processor : 0\n") != ""
