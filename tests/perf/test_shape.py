"""What judges a shaper, and the paced downloads that it is judged by."""

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from perf import corpus, shaped
from perf.bench import Usage
from perf.errors import PerfError
from perf.load import paced
from perf.results import Sample
from perf.servers import KINDS, Setup, running
from perf.servers.nginx import Nginx
from perf.wakeups import sleeps
from perf.workloads import shape

US = "penstock"


def test_downloads_are_counts_times_rates_in_binary_units() -> None:
    found = shape.cases("200x1MiB, 2000x100KiB,3x7,200x1MiB")
    assert [(c.downloads, c.rate_bps) for c in found] == [
        (200, 2**20),
        (2000, 102_400),
        (3, 7),
    ]


@pytest.mark.parametrize("text", ["", "200", "0x1KiB", "5x1MB", "1x1KiB,", "70000x1"])
def test_what_is_no_count_times_rate_is_refused(text: str) -> None:
    with pytest.raises(PerfError, match=r"^--downloads: "):
        shape.cases(text)


def test_a_case_is_judged_by_error_and_by_the_jitter_of_its_own_slots() -> None:
    few, many, *_ = shape.BOUNDS
    good = {"error_percent": 0.5, "jitter_percent": 12.0, "jitter_1s_percent": 5.0}
    assert shape.judge(US, few, good) == shape.judge(US, many, good) == []
    assert shape.judge(US, few, good | {"jitter_percent": 12.1}) == [
        "jitter 100 ms 12.10 %, bound 12"
    ]
    assert shape.judge(US, many, good | {"jitter_percent": 12.1}) == []
    assert shape.judge(US, many, good | {"jitter_1s_percent": 5.1})
    assert shape.judge(US, few, good | {"error_percent": 0.51})
    assert shape.judge(US, few, good | {"both_over_unshaped": 1.11})
    assert shape.judge(US, replace(few, downloads=1), good) is None
    assert shape.judge("nginx", few, good) is None
    assert shape.judge(shape.FOLLOWED, few, good | {"sensing_percent": 0.9}) == []
    assert shape.judge(shape.FOLLOWED, few, good | {"sensing_percent": 1.1})


def turn(usage: Usage, cpu_ns: int, late_ns: int) -> shaped.Shaped:
    return shaped.Shaped(paced.PacedRun([[1]], cpu_ns, late_ns), usage, None, [])


def test_a_load_that_came_too_late_is_the_limit() -> None:
    usage = Usage(server_share=0.1, wall_ns=1000)
    late = shaped.LATE_NS_MAX
    assert turn(usage, 100, late).limited_by() == "neither"
    assert turn(usage, 100, late + 1).limited_by() == "client"
    assert turn(usage, 960, 0).limited_by() == "client"


def test_loops_of_all_engines_are_added_up() -> None:
    page = '# HELP a_loops_total x\na_loops_total{engine="0"} 5\n'
    page += 'a_loops_total{engine="1"} 7\nb_total 9\n'
    page += 'a_sensing_seconds_total{engine="1"} 0.25\n'
    assert shaped.Told.by(page) == (12, 0.25)


def test_every_download_has_an_address_of_its_own() -> None:
    count = paced.DOWNLOADS_MAX
    assert len({paced.source_address(number) for number in range(count)}) == count
    assert paced.source_address(258) == "127.1.1.2"


def test_nginx_limits_a_download_only_when_it_is_told_to(tmp_path: Path) -> None:
    setup = Setup(tmp_path, [0])
    assert "limit_rate" not in Nginx().config(setup, 1, tmp_path)
    limited = Nginx().config(replace(setup, download_bps=5), 1, tmp_path)
    assert re.search(r"limit_rate 5;\s+limit_rate_after 0;", limited)


@pytest.mark.parametrize("name", [n for n in KINDS if n not in ("penstock", "nginx")])
def test_a_peer_that_is_not_set_up_to_pace_is_left_out(
    name: str, tmp_path: Path
) -> None:
    setup = Setup(tmp_path, [0])
    assert KINDS[name].unfit(setup) is None
    assert KINDS[name].unfit(replace(setup, download_bps=5)) is not None


@pytest.mark.alone
@pytest.mark.parametrize("name", ["penstock", "nginx"])
def test_every_download_gets_its_limit(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    if kind.version() is None:
        pytest.skip(f"{name} is not installed")
    tmp_path.chmod(0o755)
    path = corpus.make(tmp_path, 8 * corpus.MIB)
    cpus = [min(os.sched_getaffinity(0))]
    setup = Setup(tmp_path, cpus, body_bytes=8 * corpus.MIB, download_bps=corpus.MIB)
    with running(kind, setup, path) as server:
        begin_ns = time.monotonic_ns() + 1_500_000_000
        order = paced.PacedOrder(
            server.port,
            path,
            8,
            200_000_000,
            begin_ns,
            20,
            host=server.host,
            network=server.readers,
        )
        done = paced.download(order)
    assert [len(row) for row in done.slots] == [20] * 8
    for row in done.slots:
        assert sum(row) / 2 == pytest.approx(corpus.MIB, rel=0.25)


def test_downloads_that_cannot_begin_in_time_are_an_error(tmp_path: Path) -> None:
    order = paced.PacedOrder(1, "f", 8, 10**9, time.monotonic_ns() - 1, 1)
    with pytest.raises(PerfError, match="only 0 of 8 downloads"):
        paced.download(order)


def cost(server: str, value: float) -> Sample:
    values = {"cpu_ms_per_gb": value, "both_ms_per_gb": value + 10}
    return Sample(server, "case", 0, values)


def test_cpu_is_told_over_that_of_the_same_server_without_a_limit() -> None:
    samples = [
        cost("penstock", 30.0),
        cost("nginx-htb", 50.0),
        cost("penstock-unshaped", 20.0),
        cost("nginx-unshaped", 10.0),
        cost("penstock-full-speed", 15.0),
    ]
    found = {s.server: s.values for s in shape.beside_unshaped(samples)}
    assert found["penstock"]["over_unshaped"] == pytest.approx(1.5)
    assert found["penstock"]["over_full_speed"] == pytest.approx(2.0)
    assert found["penstock"]["both_over_unshaped"] == pytest.approx(40 / 30)
    assert found["nginx-htb"]["over_unshaped"] == pytest.approx(5.0)
    assert "over_full_speed" not in found["nginx-htb"]
    assert "over_unshaped" not in found["penstock-unshaped"]


def test_what_happened_over_time_is_in_megabytes_per_second() -> None:
    case = shape.Case(2, 10_000_000)
    slots = [[1_000_000] * 3, [2_000_000] * 3]
    everything, some = shape.timelines(slots, case)
    assert everything.lines["all"] == pytest.approx([30.0] * 3)
    assert everything.limits == {"limit": 20.0}
    assert set(some.lines) == {"download 1", "download 2"}
    assert some.lines["download 2"] == pytest.approx([20.0] * 3)


def test_a_thread_that_sleeps_is_counted_each_time() -> None:
    before = sleeps(os.getpid())
    for _ in range(20):
        time.sleep(0.001)
    assert sleeps(os.getpid()) - before >= 20


def test_a_slow_reader_reads_as_often_as_a_limited_one_is_sent_something() -> None:
    tick_ns = 10_000_000
    assert paced.turns(10 * corpus.KIB, tick_ns) == 50
    assert paced.turns(100 * corpus.KIB, tick_ns) == 25
    assert paced.turns(2**30, tick_ns) in (2, 3)
    assert paced.turns(2**30, 2**40) == 1
