"""Uploads as a load, and how they are judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf import corpus
from perf.cases import Case
from perf.errors import PerfError
from perf.load import bring
from perf.load.bring import BringOrder
from perf.results import Sample
from perf.servers import UPLOADERS, Setup, running
from perf.workloads import upload

ORDER = BringOrder(0, "", 300_000, 2, 0.3, "tus")


def sample(server: str, cpu_ms: float, number: int = 0) -> Sample:
    return Sample(server, "100", number, {"cpu_ms_per_gb": cpu_ms})


@pytest.mark.parametrize(("mine", "passed"), [(80.0, True), (81.0, False)])
def test_a_large_upload_is_judged_by_the_peer_of_its_round(
    mine: float, passed: bool
) -> None:
    samples = [sample("penstock", mine), sample(upload.PEER, 100)]
    samples += [sample(upload.PEER, 1, 1)]
    large, small = Case(100 * corpus.MIB, 1), Case(corpus.MIB, 1)
    assert upload.judge(samples[0], samples, large) is passed
    assert upload.judge(samples[0], samples[:1], large) is None
    assert upload.judge(samples[0], samples, small) is None
    assert upload.judge(samples[1], samples, large) is None


def test_a_request_names_its_file() -> None:
    assert bring.request(ORDER, "a").startswith(b"POST /files HTTP/1.1\r\n")
    assert b"filename YQ==\r\n" in bring.request(ORDER, "a")


@pytest.mark.parametrize("name", UPLOADERS)
def test_every_server_keeps_what_it_is_brought(name: str, tmp_path: Path) -> None:
    kind = UPLOADERS[name]
    if kind.version() is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "probe").write_bytes(b"x")
    with running(kind, Setup(tmp_path, [0], uploads=True), "probe") as server:
        protocol: bring.Protocol = "dav" if name == upload.PEER else "tus"
        order = BringOrder(
            server.port, str(tmp_path), 300_000, 2, 0.3, protocol, sync=True
        )
        done = bring.bring(order)
    assert done.uploads >= 2
    assert done.body_bytes == 300_000 * done.uploads
    assert not list(tmp_path.glob("up-*"))  # looked at, fsynced, deleted


def test_an_upload_that_is_refused_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"x")
    kind = UPLOADERS["penstock"]
    with running(kind, Setup(tmp_path, [0]), "probe") as server:
        order = BringOrder(server.port, str(tmp_path), 1000, 1, 0.1, "tus")
        with pytest.raises(PerfError, match="answered 405"):
            bring.bring(order)
