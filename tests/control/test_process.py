"""Descriptors: connections get what files, pipes and the admin API leave."""

import pytest

from penstock import _engine as engine, process
from penstock.errors import PenstockError
from penstock.limits import Limits
from penstock.process import fit_descriptors


def test_enough_descriptors_change_nothing() -> None:
    assert fit_descriptors(Limits(), 2, 65536) == Limits()


@pytest.mark.parametrize("engines", [1, 2, 8])
@pytest.mark.parametrize("nofile", [1024, 4096, 20000, 65536])
@pytest.mark.parametrize("uploads", [0, 1024])
def test_all_that_may_be_open_at_once_fits(
    engines: int, nofile: int, uploads: int
) -> None:
    try:
        fitting = fit_descriptors(Limits(), engines, nofile, uploads)
    except PenstockError:
        assert nofile // engines < 256
        return
    pipes = 2 * (Limits().pipes + 1)
    connections, files = fitting.max_connections, fitting.cache_entries
    assert connections >= 1
    assert files >= 1
    used = engines * (connections + files + process.REFUSAL_SLOTS + pipes)
    used += min(engines * 2 * uploads, nofile // 5)
    assert used + process.PROCESS_DESCRIPTORS < nofile


def test_files_keep_a_share_when_descriptors_are_scarce() -> None:
    fitting = fit_descriptors(Limits(), 1, 1000)
    assert 500 < fitting.max_connections < 750
    assert 200 < fitting.cache_entries < 250


def test_too_few_descriptors_say_how_many_and_the_remedy() -> None:
    with pytest.raises(PenstockError, match=r"100 open files .* 2 engines: raise"):
        fit_descriptors(Limits(), 2, 100)


def test_engine_and_budget_mean_the_same_refusals() -> None:
    assert process.REFUSAL_SLOTS == engine.REFUSAL_CONNECTIONS
