"""Shares, one limit over many connections, changes: what they are judged by."""

import json
import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from perf import corpus
from perf.bench import Bench
from perf.errors import PerfError
from perf.evenness import reached_ms, share_error_percent
from perf.load import paced
from perf.servers import KINDS, Client, Running, Setup, running
from perf.servers.penstock import config
from perf.workloads import joint, reload, share

CASE = share.Case([1, 2, 4], 7_000_000, 2)
PER_SLOT = int(CASE.total_bps / 7 * share.SLOT_SECONDS)  # of one share of seven
STEADY = 50  # slots: a second


def divided(lent_late: int = 0, back_late: int = 0) -> list[list[int]]:
    """Slots of three clients; the heaviest is away for two seconds, and its share is
    lent and taken back so many slots late."""
    away, back = 100, 100
    one, two, four = (
        [PER_SLOT * weight] * (STEADY + away + back) for weight in CASE.weights
    )
    for slot in range(STEADY, STEADY + away + back_late):
        four[slot] = 0
        if slot >= STEADY + lent_late and slot < STEADY + away:
            one[slot], two[slot] = PER_SLOT * 7 // 3, PER_SLOT * 14 // 3
    return [one, two, four]


def test_shares_by_weight_have_no_error_and_use_all() -> None:
    found = share.figures(divided(), CASE, 1)
    assert found["share_error_percent"] == pytest.approx(0.0)
    assert found["utilisation_percent"] == pytest.approx(100.0)
    assert found["lent_utilisation_percent"] == pytest.approx(100.0, abs=0.1)
    assert found["lent_ms"] <= 41
    assert found["taken_back_ms"] <= 41
    assert share.judge(found)


def test_what_is_lent_or_taken_back_late_misses_the_bound() -> None:
    lent = share.figures(divided(lent_late=12), CASE, 1)
    assert lent["lent_ms"] == pytest.approx(240.0, abs=41)
    assert not share.judge(lent)
    back = share.figures(divided(back_late=12), CASE, 1)
    assert back["taken_back_ms"] == pytest.approx(240.0, abs=41)
    assert not share.judge(back)


def test_a_share_that_never_returns_has_no_figure_and_misses_the_bound() -> None:
    found = share.figures(divided(back_late=100), CASE, 1)
    assert "taken_back_ms" not in found
    assert not share.judge(found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("share_error_percent", 2.1),
        ("utilisation_percent", 97.9),
        ("lent_ms", 201.0),
        ("taken_back_ms", 201.0),
    ],
)
def test_every_bound_of_a_share_is_judged(key: str, value: float) -> None:
    good = {
        "share_error_percent": 2.0,
        "utilisation_percent": 98.0,
        "lent_ms": 200.0,
        "taken_back_ms": 200.0,
    }
    assert share.judge(good)
    assert not share.judge(good | {key: value})


def test_the_share_error_is_that_of_the_worst_client() -> None:
    assert share_error_percent([100, 200, 400], [1, 2, 4]) == pytest.approx(0.0)
    assert share_error_percent([90, 200, 410], [1, 2, 4]) == pytest.approx(10.0)
    assert share_error_percent([0, 0], [1, 1]) == 100.0


def test_a_change_is_found_in_the_slot_in_which_it_came() -> None:
    step = [10.0] * 10 + [4.0] * 10
    assert reached_ms(step, 0.02, 0.2, 10, 4) == pytest.approx(40.0)
    assert reached_ms(step, 0.02, 0.1, 10, 4) == pytest.approx(140.0)
    assert reached_ms(step, 0.02, 0.2, 10, 1) is None


def test_quanta_longer_than_a_slot_hide_no_change() -> None:
    lumps = [60.0, 0.0, 0.0] * 4 + [30.0, 0.0, 0.0] * 4
    assert reached_ms(lumps, 0.02, 0.24, 20, 10) == pytest.approx(40.0, abs=21)


def test_the_clients_of_a_share_have_weights_and_no_limit(tmp_path: Path) -> None:
    found = share.setup(Setup(tmp_path, [0]), CASE, 1)
    assert found.total_bps == 7_000_000
    assert [client.weight for client in found.clients] == [1, 2, 4]
    text = config(found.clients)
    assert '[clients."127.1.0.2"]\nweight = 4\n' in text
    assert "rate" not in text
    assert "token" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"weights": "1"}, "--weights: 2 to 64 clients, not 1"),
        ({"weights": "1,0"}, "--weights: '1,0' is not a list of positive integers"),
        ({"total": 0}, "--total and --connections must be at least 1"),
    ],
)
def test_what_cannot_be_shared_is_refused(words: dict[str, str], message: str) -> None:
    with pytest.raises(PerfError, match=message):
        share.command(**words)  # type: ignore[arg-type]


def test_a_reload_needs_two_different_limits() -> None:
    with pytest.raises(PerfError, match="--low must be at least 1 and below --high"):
        reload.command(low=5, high=5)


CHANGED = reload.Case(1000, 4000, 1)


def test_the_effect_of_each_change_is_timed_from_its_beginning() -> None:
    slots = [80] * 100 + [20] * 105 + [80] * 95
    begun = {"post_lower_ms": 2_010_000_000, "post_raise_ms": 4_000_000_000}
    found = reload.effects(slots, CHANGED, begun)
    assert found["post_lower_ms"] == pytest.approx(30.0)
    assert found["post_raise_ms"] == pytest.approx(140.0)


def test_a_change_without_effect_has_no_figure() -> None:
    begun = {"post_lower_ms": 2_000_000_000, "post_raise_ms": 4_000_000_000}
    assert set(reload.effects([80] * 300, CHANGED, begun)) == {"post_raise_ms"}


@pytest.mark.parametrize("change", [reload.post, reload.hang_up])
def test_a_limit_is_changed_while_penstock_runs(
    change: Callable[[Running, int], None], tmp_path: Path
) -> None:
    path = corpus.make(tmp_path, 1024)
    cpus = [min(os.sched_getaffinity(0))]
    setup = Setup(tmp_path, cpus, clients=[Client(reload.ADDRESS, None, 5_000_000)])
    with running(KINDS["penstock"], setup, path) as found:
        assert target(found) == 5_000_000
        change(found, 7_000_000)
        deadline = time.monotonic() + 5
        while target(found) != 7_000_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert target(found) == 7_000_000


def target(found: Running) -> int | None:
    url = f"http://127.0.0.1:{found.admin_port}/clients"
    with urllib.request.urlopen(url, timeout=5) as answer:
        rows = json.load(answer)["clients"]
    limits = [row["target_bps"] for row in rows if row["client_id"] == reload.ADDRESS]
    return limits[0] if limits else None


def test_a_refused_change_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PerfError, match="POST /config failed"):
        reload.post(Running("penstock", 1, 1, admin_port=1), 5)


def bench(folder: Path) -> Bench:
    cpu = min(os.sched_getaffinity(0))
    return Bench(
        folder,
        [KINDS["penstock"]],
        [],
        ["cubic"],
        None,
        [cpu],
        max(os.sched_getaffinity(0)),
        1,
        1,
        lambda *_: None,
    )


@pytest.mark.alone
def test_one_limit_holds_for_all_connections_of_a_client(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    result = joint.run(bench(tmp_path), {"4 MiB/s": 4 * corpus.MIB})
    [sample] = result.samples
    assert sample.values["error_percent"] < 25
    assert sample.values["wakeups_per_second"] > 0
    [timeline] = sample.timelines
    assert len(timeline.lines["all connections"]) == 10
    assert timeline.limits == {"limit": pytest.approx(4.19, abs=0.01)}


def test_a_pause_ends_the_downloads_of_one_address_and_begins_them_anew(
    tmp_path: Path,
) -> None:
    path = corpus.make(tmp_path, 4 * corpus.MIB)
    cpus = [min(os.sched_getaffinity(0))]
    setup = Setup(tmp_path, cpus, download_bps=corpus.MIB)
    tenth_ns = 100_000_000
    with running(KINDS["penstock"], setup, path) as found:
        order = paced.PacedOrder(
            port=found.port,
            path=path,
            downloads=4,
            ramp_ns=2 * tenth_ns,
            begin_ns=time.monotonic_ns() + 5 * tenth_ns,
            slots=15,
            addresses=2,
            pauses=[paced.Pause(1, 5 * tenth_ns, 10 * tenth_ns)],
        )
        kept, paused = paced.download(order).slots
    assert len(kept) == len(paused) == 15
    assert sum(paused[:5]) > 0
    assert paused[5:10] == [0] * 5
    assert sum(paused[11:]) > 0
    assert sum(kept[5:10]) > 0


def test_slow_readers_take_their_rate_of_a_server_that_has_no_limit(
    tmp_path: Path,
) -> None:
    path = corpus.make(tmp_path, 8 * corpus.MIB)
    cpus = [min(os.sched_getaffinity(0))]
    with running(KINDS["penstock"], Setup(tmp_path, cpus), path) as found:
        order = paced.PacedOrder(
            port=found.port,
            path=path,
            downloads=3,
            ramp_ns=100_000_000,
            begin_ns=time.monotonic_ns() + 500_000_000,
            slots=10,
            read_bps=500_000,
        )
        for row in paced.download(order).slots:
            assert sum(row) == pytest.approx(500_000, rel=0.1)
