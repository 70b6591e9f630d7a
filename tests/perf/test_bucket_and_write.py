"""The workloads without a server: the shaper's decisions, and one MiB into a file."""

import os
import subprocess
from pathlib import Path

import pytest

from perf import affinity, cli
from perf.counters import CONTEXT_SWITCHES, SOFTWARE, open_counter, read_counter
from perf.results import Result
from perf.servers.base import Setup
from perf.servers.httpd import Httpd
from perf.stats import quantiles
from perf.workloads import bucket, write

pytest.importorskip("perf._shaper", reason="the harness is not compiled")

from perf import _shaper


def test_quantiles_are_exact() -> None:
    found = quantiles(range(1001))
    assert (found.p50, found.p99, found.p999, found.maximum) == (500, 990, 999, 1000)


def test_quantiles_of_one_value_are_that_value() -> None:
    assert quantiles([7]).p999 == 7


def test_a_free_client_is_granted_while_others_are_parked() -> None:
    shaper = _shaper.Shaper(3, bucket.shuffled(50), 10**6, 10**12)
    assert shaper.parked == (50, 50)
    took_ns, done = shaper.grants(bucket.shuffled(3), 300, 30_000_000)
    assert took_ns > 0
    assert done >= 300
    assert shaper.parked == (50, 50)


def test_a_refused_grant_is_no_decision_that_counts() -> None:
    shaper = _shaper.Shaper(1, bucket.shuffled(5), 10**6, 10**12)
    with pytest.raises(RuntimeError, match="of 100 grants were refused"):
        shaper.grants(bucket.shuffled(1), 100, 1000)


def test_whoever_is_woken_is_parked_again() -> None:
    shaper = _shaper.Shaper(1, bucket.shuffled(50), 10**6, 10**12)
    took = bucket.samples(500)
    shaper.wake_times(took)
    assert min(took) > 0
    assert shaper.parked == (50, 50)


def test_the_head_of_a_result_names_no_server_that_is_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found: list[Result] = []
    monkeypatch.setattr(cli.terminal, "show", lambda _, result: found.append(result))
    monkeypatch.setattr(write, "WARM_UP_ROUNDS", 1)
    common = write.WriteCommon(rounds=1)
    assert write.command(folder=[tmp_path], common=common) == 0
    (result,) = found
    assert result.machine.versions == {"load": "perf.load._blocks"}
    assert result.machine.congestion_control == ""
    assert result.seconds is None
    assert not any("absent" in note or "congestion" in note for note in result.notes)


def test_both_targets_must_be_met() -> None:
    met = {"million_per_second": 20.0, "p99_ns": 1000.0}
    assert bucket.judge("c", 0, met).passed
    assert not bucket.judge("c", 0, met | {"million_per_second": 19.9}).passed
    assert not bucket.judge("c", 0, met | {"p99_ns": 1001.0}).passed


@pytest.mark.parametrize(
    ("row", "calls"),
    [
        ("256 write(2)", 257),
        ("256 write(2), O_DSYNC", 256),
        (write.SPLICE, 2),
        ("1 SPLICE of io_uring", 1),
    ],
)
def test_every_way_writes_the_whole_file_and_leaves_none(
    tmp_path: Path, row: str, calls: int
) -> None:
    with write.source() as writer:
        for _ in range(2):  # the pipe is empty again
            took_ns, made = writer.once(tmp_path, row, durable=True)
            assert (took_ns > 0, made) == (True, calls)
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_is_that_of_the_deepest_mount() -> None:
    info = (
        "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n"
        "2 1 0:5 / /dev/shm rw - tmpfs none rw\n"
    )
    assert write.file_system(Path("/dev/shm"), info) == ("tmpfs", "none")
    assert write.file_system(Path("/dev"), info) == ("ext4", "/dev/a")


def test_a_counter_counts() -> None:
    try:
        fd = open_counter(SOFTWARE, CONTEXT_SWITCHES, 0)
    except OSError as error:
        pytest.skip(f"perf_event_open: {error}")
    try:
        assert read_counter(fd) >= 0
    finally:
        os.close(fd)


def test_threads_are_pinned_to_one_core_each_and_let_go_again() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            assert affinity.spread(process.pid, cpus, pinned=True) == 1
            assert os.sched_getaffinity(process.pid) == {cpus[0]}
            affinity.spread(process.pid, cpus, pinned=False)
            assert os.sched_getaffinity(process.pid) == set(cpus)
        finally:
            process.kill()


def test_httpd_has_a_thread_for_every_connection(tmp_path: Path) -> None:
    httpd = Httpd()
    if httpd.version() is None:
        pytest.skip("httpd is not installed")
    text = httpd.config(Setup(tmp_path, [0], 10_000), 8000, tmp_path)
    [line] = [x for x in text.splitlines() if x.startswith("MaxRequestWorkers")]
    assert int(line.split()[1]) >= 10_000
