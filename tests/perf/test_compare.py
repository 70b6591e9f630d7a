from collections.abc import Sequence
from dataclasses import replace

import pytest

from perf.compare import common_peers, compare, judge, ratios, workload
from perf.errors import PerfError
from perf.record import Record
from perf.results import Metric, Result
from perf.stats import Spread, middle
from tests.perf.samples import COST, MACHINE, RATE, measured

Rounds = Sequence[float]
PEER = [10.0] * 5


def run(ours: Rounds, peer: Rounds | None = None, metric: Metric = COST) -> Result:
    servers = {"penstock": ours} if peer is None else {"penstock": ours, "nginx": peer}
    return measured(servers, metric=metric)


@pytest.mark.parametrize(
    ("what", "old", "new", "outcome"),
    [
        ("nothing changed", [5, 6, 7, 6, 5], [5, 6, 7, 6, 5], "same"),
        ("every round is worse", [5, 6, 7, 6, 5], [8, 9, 8, 9, 8], "worse"),
        ("every round is better", [8, 9, 8, 9, 8], [5, 6, 7, 6, 5], "better"),
        ("the ranges overlap", [5, 6, 7, 6, 5], [7, 8, 9, 8, 9], "same"),
        ("apart, but by less than the margin", [5.0] * 5, [5.2] * 5, "same"),
        ("apart by more than the margin", [5.0] * 5, [5.3] * 5, "worse"),
        ("one round says little", [5.0], [6.0], "same"),
        ("one round says it when it is plain", [5.0], [6.2], "worse"),
        ("two rounds against many", [5.0] * 5, [5.5, 5.5], "same"),
        ("three rounds are apart by chance, too", [5.0] * 3, [5.5] * 3, "same"),
        ("five are not, or hardly ever", [5.0] * 5, [5.5] * 5, "worse"),
    ],
)
def test_lower_is_better(what: str, old: Rounds, new: Rounds, outcome: str) -> None:
    [change] = workload(run(old, PEER), run(new, PEER)).changes
    assert change.outcome == outcome, what


def test_higher_is_better_turns_the_outcome_round() -> None:
    low, high = [5.0] * 5, [6.0] * 5
    for old, new, outcome in ((low, high, "better"), (high, low, "worse")):
        found = workload(run(old, PEER, RATE), run(new, PEER, RATE))
        assert found.changes[0].outcome == outcome
        assert found.regressed() is (outcome == "worse")


def test_a_slower_machine_is_no_regression() -> None:
    """Twice as dear, and so is the peer in the same rounds."""
    [change] = workload(run([5.0] * 5, PEER), run([10.0] * 5, [20.0] * 5)).changes
    assert change.percent() == pytest.approx(100.0)
    assert change.ratio_percent() == pytest.approx(0.0)
    assert change.outcome == "same"


def test_a_faster_machine_does_not_hide_a_regression() -> None:
    [change] = workload(run([5.0] * 5, PEER), run([5.0] * 5, [5.0] * 5)).changes
    assert change.percent() == pytest.approx(0.0)
    assert change.outcome == "worse"


def test_the_ratio_is_to_the_geometric_mean_of_all_common_peers() -> None:
    found = measured({"penstock": [6.0], "nginx": [2.0], "lighttpd": [8.0]})
    assert ratios(found, "1 KiB", "cost", ["nginx", "lighttpd"]) == pytest.approx([1.5])


def test_a_peer_of_one_side_only_is_not_compared_with() -> None:
    new = measured({"penstock": [5.0] * 5, "nginx": PEER, "lighttpd": [1.0] * 5})
    [change] = workload(run([5.0] * 5, PEER), new).changes
    assert change.peers == ["nginx"]
    assert change.outcome == "same"


@pytest.mark.parametrize(
    ("new", "outcome"),
    [([6.5] * 5, "same"), ([7.0] * 5, "worse"), ([3.6] * 5, "better")],
)
def test_without_a_common_peer_the_figures_themselves_need_a_wider_margin(
    new: Rounds, outcome: str
) -> None:
    found = workload(run([5.0] * 5), run(new))
    [change] = found.changes
    assert (change.peers, change.old_ratio) == ([], None)
    assert change.outcome == outcome
    assert any("no peer is in common" in text for text in found.warnings)


def test_rounds_in_which_a_peer_is_missing_or_zero_have_no_ratio() -> None:
    found = measured({"penstock": [1.0, 2.0, 3.0], "nginx": [2.0, 0.0]})
    assert ratios(found, "1 KiB", "cost", ["nginx"]) == [0.5]


def test_a_figure_below_zero_is_compared_without_ratio() -> None:
    """A difference of memory may be: the allocator gave some back."""
    found = workload(run([-1.0] * 3, [2.0] * 3), run([5.0] * 3, [2.0] * 3))
    assert found.changes[0].outcome == "worse"
    assert found.changes[0].peers == []
    from_zero = workload(run([0.0] * 3), run([0.0] * 3)).changes[0]
    assert (from_zero.percent(), from_zero.outcome) == (None, "same")


def test_many_rounds_are_judged_by_their_middle_half() -> None:
    calm = [1.0] * 18
    assert middle([*calm, 0.1, 9.0]) == Spread(1.0, 1.0, 1.0)
    assert middle([1.0] * 8 + [9.0]) == Spread(1.0, 1.0, 9.0)
    worse = workload(
        run([*calm, 9.0, 9.0], [1.0] * 20), run([1.2] * 20, [1.0] * 20)
    ).changes[0]
    assert worse.outcome == "worse"


def test_ranges_that_touch_are_the_same() -> None:
    assert judge(Spread(1, 2, 3), Spread(3, 4, 5), "lower", 0.0) == "same"
    assert judge(Spread(1, 2, 3), Spread(3.01, 4, 5), "lower", 0.0) == "worse"


def test_a_circumstance_is_not_judged() -> None:
    neutral = replace(COST, better=None)
    found = workload(run([1.0] * 5, PEER, neutral), run([9.0] * 5, PEER, neutral))
    assert found.changes == []


def test_a_bound_that_is_missed_now_is_a_regression() -> None:
    def judged(passed: bool) -> Result:
        found = run([1.0] * 5, PEER)
        found.samples = [
            replace(s, passed=passed) if s.server == "penstock" else s
            for s in found.samples
        ]
        return found

    assert workload(judged(True), judged(False)).regressed()
    assert not workload(judged(False), judged(True)).regressed()
    [still] = workload(judged(False), judged(False)).verdicts
    assert still.outcome == "same"


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"kernel": "Linux 7"}, "another kernel: Linux in the old file, Linux 7 now"),
        ({"cpu_model": "other"}, "another CPU"),
        ({"cpus": 4}, "another number of cores"),
        ({"congestion_control": "bbr"}, "cubic (pinned) in the old file, bbr (pinned)"),
        ({"congestion_pinned": False}, "cubic (not pinned) now"),
        ({"versions": {"nginx": "3"}}, "another version of nginx: 2 in the old file"),
    ],
)
def test_other_circumstances_are_warned_about(
    values: dict[str, object], warning: str
) -> None:
    new = run([5.0] * 5, PEER)
    new.machine = replace(MACHINE, **values)
    assert any(warning in text for text in workload(run([5.0] * 5, PEER), new).warnings)


def test_the_same_circumstances_give_no_warning_nor_does_a_new_penstock() -> None:
    new = run([5.0] * 5, PEER)
    new.machine = replace(MACHINE, versions={"penstock": "2", "nginx": "2"})
    assert workload(run([5.0] * 5, PEER), new).warnings == []


def test_a_congestion_control_that_only_one_side_names_is_no_difference() -> None:
    new = run([5.0] * 5, PEER)
    new.machine = replace(MACHINE, congestion_control="", congestion_pinned=False)
    assert workload(run([5.0] * 5, PEER), new).warnings == []


def test_a_case_or_figure_of_one_side_only_is_named() -> None:
    new = run([5.0] * 5, PEER)
    new.samples += measured({"penstock": [1.0]}, case="2 KiB").samples
    found = workload(run([5.0] * 5, PEER), new)
    assert found.warnings == ["2 KiB is only in the new file: not compared"]


def test_workloads_without_a_common_case_are_refused() -> None:
    other = measured({"penstock": [1.0]}, case="2 KiB")
    with pytest.raises(
        PerfError, match="no case in common: '1 KiB' in the old file, '2 KiB'"
    ):
        compare(Record([run([1.0])]), Record([other]))


def test_other_workloads_are_refused_with_both_names() -> None:
    large = replace(run([1.0]), workload="large")
    message = "large is only in the new file; small is only in the old file"
    with pytest.raises(PerfError, match=message):
        compare(Record([run([1.0])]), Record([large]))


def test_a_suite_compares_what_it_can_and_says_what_not() -> None:
    small, large = run([1.0] * 5, PEER), replace(run([1.0] * 5), workload="large")
    other = replace(measured({"penstock": [1.0]}, case="x"), workload="large")
    worse = run([2.0] * 5, PEER)
    found = compare(Record([small, large], "suite"), Record([worse, other], "suite"))
    assert [c.workload for c in found.workloads] == ["small"]
    assert found.regressed()
    assert any("large: no case in common" in reason for reason in found.left_out)


def test_a_baseline_of_the_subject_is_no_peer() -> None:
    found = measured({"penstock": [1.0], "penstock-unshaped": [2.0], "nginx": [3.0]})
    assert common_peers(found, found, "1 KiB", "cost") == ["nginx"]
