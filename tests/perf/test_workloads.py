"""What the workloads do beside measuring: their files, their order, their notes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perf import corpus
from perf.bench import Bench
from perf.errors import PerfError
from perf.load import cache
from perf.results import Result, Sample
from perf.servers import KINDS, Kind
from perf.workloads import cold, mixed
from tests.perf.samples import COST, MACHINE


def bench(folder: Path, *names: str, rounds: int = 2) -> Bench:
    kinds = [KINDS[name] for name in names]
    return Bench(folder, kinds, [], ["cubic"], None, [0], 1, rounds, 1, lambda *_: None)


def test_a_peer_that_fails_is_noted_and_left_out_of_that_case_only(
    tmp_path: Path,
) -> None:
    turns: list[tuple[str, str]] = []

    def turn(kind: Kind, case: str, number: int) -> Sample:
        turns.append((kind.name, case))
        if (kind.name, case) == ("nginx", "large"):
            raise PerfError("too large for it")
        return Sample(kind.name, case, number, {"cost": 1.0})

    found = Result("x", MACHINE, [COST])
    bench(tmp_path, "penstock", "nginx").collect(found, ["small", "large"], turn)
    assert turns.count(("nginx", "large")) == 1
    assert turns.count(("nginx", "small")) == 2
    assert turns.count(("penstock", "large")) == 2
    assert found.notes == ["nginx, large: too large for it"]


def test_a_peer_that_fails_everywhere_is_noted_once(tmp_path: Path) -> None:
    def turn(kind: Kind, case: str, number: int) -> Sample:
        raise PerfError("left out")

    found = Result("x", MACHINE, [COST])
    bench(tmp_path, "nginx").collect(found, ["a", "b"], turn)
    assert found.notes == ["nginx, every case: left out"]


def test_the_subject_has_no_excuse(tmp_path: Path) -> None:
    def turn(kind: Kind, case: str, number: int) -> Sample:
        raise PerfError("it broke")

    with pytest.raises(PerfError, match="it broke"):
        bench(tmp_path, "penstock").collect(Result("x", MACHINE, [COST]), ["a"], turn)


def test_the_mix_is_the_same_every_time_and_within_its_bounds() -> None:
    mix = mixed.mix()
    assert mix == mixed.mix()
    assert len(mix.sizes) == mixed.FILES
    assert min(mix.sizes) >= mixed.SIZE_BYTES_MIN
    assert max(mix.sizes) <= mixed.SIZE_BYTES_MAX
    assert max(mix.sizes) > 0.9 * mixed.SIZE_BYTES_MAX
    assert mix.total_bytes < 3e9


def test_the_most_popular_file_of_the_mix_is_asked_for_as_zipf_says() -> None:
    mix = mixed.mix()
    expected = mixed.REQUESTS / sum(1 / rank for rank in range(1, mixed.FILES + 1))
    assert mix.requests.count(0) == pytest.approx(expected, rel=0.1)
    assert mix.requests.count(1) == pytest.approx(expected / 2, rel=0.15)


@pytest.fixture
def disk_folder() -> Iterator[Path]:
    with corpus.temporary_folder(cold.default_folder()) as folder:
        yield folder


def test_a_dropped_file_is_out_of_the_page_cache(disk_folder: Path) -> None:
    path = disk_folder / "f.bin"
    corpus.write(path, 4 * corpus.MIB, os.urandom(corpus.MIB))
    assert cache.resident_share(path) == 1.0
    try:
        cache.drop([path])
    except PerfError as error:
        pytest.skip(str(error))
    assert cache.resident_share(path) <= cache.RESIDENT_SHARE_MAX


def test_a_file_system_in_memory_is_refused_instead_of_measured() -> None:
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or os.statvfs(shm).f_bavail < 4096:
        pytest.skip("there is no tmpfs at /dev/shm to write to")
    with corpus.temporary_folder(shm) as folder:
        path = folder / "f.bin"
        corpus.write(path, corpus.MIB, os.urandom(corpus.MIB))
        with pytest.raises(PerfError, match="choose a --folder on a disk"):
            cache.drop([path])


def test_files_that_do_not_fit_are_refused_before_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(PerfError, match="choose another --folder"):
        corpus.require_space(tmp_path, 2**60)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with (
        pytest.raises(PerfError, match=r"--folder .*: No such file"),
        corpus.temporary_folder(tmp_path / "missing"),
    ):
        pass
