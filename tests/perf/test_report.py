import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from perf import report
from perf.load.sink import SinkRun
from perf.machine import Machine, cpu_model
from perf.results import Metric, Result, Sample
from perf.stats import Spread
from perf.workloads import limit

MACHINE = Machine("now", "chip", 2, 2**30, "Linux", "3.11", "cubic", True, [0], 1, {})
COST = Metric("cost", "cost", "µs", ratio=True)


def result() -> Result:
    found = Result("small", MACHINE, [COST], notes=["h2o is absent"])
    for number, (ours, theirs) in enumerate([(3.0, 4.0), (9.0, 10.0), (2.0, 4.0)]):
        found.samples += [
            Sample("penstock", "1 KiB", number, {"cost": ours}, "server"),
            Sample("nginx", "1 KiB", number, {"cost": theirs}, "client"),
        ]
    return found


def printed(shown: Result) -> str:
    page = StringIO()
    report.show(Console(width=120, file=page), shown)
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


def test_a_case_says_which_congestion_control_was_read_back() -> None:
    found = Result("large", MACHINE, [COST])
    found.samples.append(
        Sample("penstock", "1 MiB, bbr", 0, {"cost": 1.0}, congestion="bbr")
    )
    assert [g.title for g in report.grids(found)] == ["1 MiB, bbr (read back: bbr)"]


def test_json_holds_every_sample_and_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    report.write_json(result(), path)
    loaded = json.loads(path.read_text())
    assert len(loaded["samples"]) == 6
    nginx = loaded["summary"][1]
    assert nginx["server"] == "nginx"
    assert nginx["penstock_ratio"]["cost"]["median"] == 0.75
    assert nginx["limited_by"] == ["client"]


def test_markdown_has_a_row_per_server_with_as_many_cells_as_headings() -> None:
    rows = [r for r in report.as_markdown(result()).splitlines() if r.startswith("|")]
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
    assert report.verdict(within, "10 MB/s") == "pass"


def test_one_round_beyond_one_percent_fails_the_case() -> None:
    for beyond in (98_900_000, 101_100_000):
        found = limited(100_000_000, beyond)
        assert found.failed()
        assert report.verdict(found, "10 MB/s") == "FAIL (1 of 2)"
        assert "FAIL" in printed(found)


def test_cpu_model_is_read_where_the_kernel_prints_it() -> None:
    assert cpu_model("processor : 0\nmodel name\t: Chip 9\n") == "Chip 9"
    assert cpu_model("processor : 0\n") != ""
