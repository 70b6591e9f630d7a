import os
import subprocess
import sys
import time

import pytest

from perf.cpu import (
    TICKS_PER_SECOND,
    CoreTimes,
    CpuMeter,
    core_times,
    parents,
    pinned,
    process_tree,
)
from perf.errors import PerfError

STAT = """\
cpu  30 0 30 60 0 0 0 0 0 0
cpu0 10 1 20 30 4 5 6 7 8 9
cpu10 1 1 1 1 1 1 1 1 0 0
"""


def test_process_tree_holds_grandchildren_and_no_strangers() -> None:
    assert process_tree(1, {2: 1, 3: 2, 4: 9, 9: 0}) == [1, 2, 3]


def test_parents_knows_our_own_parent() -> None:
    assert parents()[os.getpid()] == os.getppid()


def test_meter_counts_the_cpu_time_of_this_process_in_nanoseconds() -> None:
    meter, start_ns = CpuMeter(os.getpid()), time.process_time_ns()
    sum(range(200_000))
    spent_ns = time.process_time_ns() - start_ns
    assert spent_ns <= meter.cpu_ns() < spent_ns + 50_000_000


def test_meter_refuses_a_process_that_ended_meanwhile() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
    meter = CpuMeter(process.pid)
    process.communicate(b"\n")
    with pytest.raises(PerfError, match="ended"):
        meter.cpu_ns()


def test_core_times_count_iowait_as_idle() -> None:
    assert core_times(0, STAT).idle == 34


def test_core_times_do_not_mistake_cpu10_for_cpu1() -> None:
    with pytest.raises(PerfError, match="no cpu 1"):
        core_times(1, STAT)


def test_idle_share_is_the_idle_part_of_the_time_between() -> None:
    second = CoreTimes(10 + TICKS_PER_SECOND // 4, 2 * 10**9)
    assert CoreTimes(10, 10**9).idle_share_until(second) == 0.25


def test_idle_share_of_an_interval_below_a_tick_is_idle() -> None:
    assert CoreTimes(10, 100).idle_share_until(CoreTimes(10, 200)) == 1.0


def test_pinned_restores_the_mask() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    with pinned({one}):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before


def test_pinning_to_a_core_that_is_not_there_says_which() -> None:
    with pytest.raises(PerfError, match="cpu 1023"), pinned({1023}):
        pass
