"""Controllers in the lab: what is seen of them, and what they are judged by."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from perf import looks
from perf.bench import Bench
from perf.errors import PerfError
from perf.lab.link import Shape
from perf.lab.network import LabUnavailableError
from perf.looks import Look
from perf.servers import KINDS
from perf.workloads import control

OPEN: Mapping[str, Any] = {
    "controller_bps": None,
    "breaker_bps": None,
    "effective_bps": 5_000_000,
    "breaker": "closed",
    "feedback": None,
}
LINE = Shape(rate_bps=2_500_000, queue_bytes=100_000)


def look(seconds: float, total: int, **row: Any) -> Look:
    return Look(seconds, total, {**OPEN, **row})


def test_goodput_is_what_came_since_the_look_before() -> None:
    found = [look(0.2, 200_000), look(0.5, 800_000), look(0.7, 800_000)]
    assert looks.goodput_bps(found) == pytest.approx([1e6, 2e6, 0])
    assert looks.figures(found) == {"mb_per_second": pytest.approx(0.8 / 0.7)}


def test_the_first_look_at_an_open_breaker_and_the_mean_rtt_are_figures() -> None:
    found = [
        look(1, 1, feedback={"srtt_seconds": None}),
        look(2, 1, feedback={"srtt_seconds": 0.02}),
        look(3, 1, breaker="degraded", feedback={"srtt_seconds": 0.04}),
        look(4, 1, breaker="half_open"),
    ]
    figures = looks.figures(found)
    assert figures["trip_seconds"] == 3
    assert figures["srtt_ms"] == pytest.approx(30)
    assert looks.breaker_events(found) == {
        "breaker degraded": 3,
        "breaker half_open": 4,
    }


def test_a_term_without_limit_is_drawn_as_the_rate() -> None:
    found = [look(1, 10**6), look(2, 3 * 10**6, controller_bps=4_000_000)]
    [line] = looks.timelines(found, 1.0, 12_500_000, 2_500_000, {"narrow": 1.5})
    assert line.lines == {
        "goodput": [1.0, 2.0],
        "controller": [12.5, 4.0],
        "breaker": [12.5, 12.5],
        "effective": [5.0, 5.0],
    }
    assert line.limits == {"line": 2.5}
    assert line.events == {"narrow": 1.5}


def test_the_rtt_has_lines_of_its_own_where_it_is_known() -> None:
    found = [look(1, 1, feedback={"srtt_seconds": 0.05})]
    _, rtt = looks.timelines(found, 1.0, 1, 1, {})
    assert (rtt.unit, rtt.lines) == ("ms", {"RTT": [pytest.approx(50)]})


def test_cuts_for_loss_and_for_marks_are_added_up() -> None:
    text = (
        "# TYPE penstock_feedback_changes_total counter\n"
        'penstock_feedback_changes_total{change="loss",kind="controller"} 3.0\n'
        'penstock_feedback_changes_total{change="ce",kind="controller"} 2.0\n'
        'penstock_feedback_changes_total{change="degraded",kind="breaker"} 7.0\n'
    )
    assert looks.cuts(text) == 5
    assert looks.cuts("") == 0


OFF = {"mb_per_second": 10.0, "retransmitted": 100.0}


@pytest.mark.parametrize(
    ("mb_per_second", "retransmitted", "passed"),
    [(9.0, 80, True), (8.9, 80, False), (9.0, 81, False), (20, 0, True)],
)
def test_goodput_and_retransmissions_are_both_judged(
    mb_per_second: float, retransmitted: float, passed: bool
) -> None:
    full = {"mb_per_second": mb_per_second, "retransmitted": retransmitted}
    assert control.judge(full, OFF) == passed


def test_one_percent_at_20_ms_is_judged_and_nothing_else() -> None:
    found = [
        case
        for rtt in (20, 100)
        for case in control.cases("cubic", rtt, LINE, [0, 1, 5], others=True)
    ]
    assert [case.title for case in found if case.judged] == ["1 % loss, 20 ms, cubic"]
    assert len({case.title for case in found}) == len(found) == 10


def test_paths_are_as_their_titles_say() -> None:
    lossy, marks, narrow = control.cases("bbr", 100, LINE, [5], others=True)
    assert (lossy.down.loss, lossy.down.delay_ns) == (0.05, 50_000_000)
    assert marks.down.mark_above_ns == 5_000_000
    assert narrow.changes == {1 / 3: 625_000, 2 / 3: 2_500_000}
    assert {case.congestion for case in (lossy, marks, narrow)} == {"bbr"}


@pytest.mark.parametrize("text", ["", "x", "101", "1,,2", "-1"])
def test_what_is_no_loss_is_refused(text: str) -> None:
    with pytest.raises(PerfError, match="is not a list of percentages"):
        control.percents(text)
    assert control.percents("0, 20") == [0, 20]


@pytest.mark.alone
def test_both_modes_download_over_the_same_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    cpus = sorted(os.sched_getaffinity(0))
    bench = Bench(
        *(tmp_path, [KINDS["penstock"]], [], [], None, cpus[:1], cpus[-1], 1, 2),
        lambda *_: None,
    )
    [case] = control.cases("cubic", 20, LINE, [1], others=False)
    try:
        result = control.run(bench, [case], 2, pace=True)
    except LabUnavailableError as error:
        pytest.skip(f"no network of its own: {error}")
    off, full = result.samples
    assert (off.server, full.server) == ("penstock, off", "penstock")
    assert off.passed is None
    assert full.passed is not None
    for sample in (off, full):
        assert 0.2 < sample.values["mb_per_second"] < 2.5
        assert sample.values["lost"] > 0
        assert sample.values["retransmitted"] > 0
    assert off.values["cuts"] == 0
    assert full.values["cuts"] > 0
    assert len(full.timelines) == 2
    assert len(full.timelines[0].lines["goodput"]) == 10
