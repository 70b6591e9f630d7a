"""What limits downloads beside penstock: its configuration, and that it limits."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perf import corpus
from perf.servers import KINDS, SHAPERS, Client, Setup
from perf.servers.bwlim import (
    MIN_BYTES,
    PIECE_BYTES_MAX,
    HaproxyBwlim,
    has_filter,
    piece_bytes,
)
from perf.servers.htb import (
    PACKET_BYTES,
    PARENT,
    SEGMENT_BYTES,
    classes,
    offload_bytes,
    wire_bits,
)
from perf.servers.unshaped import Unshaped

ROOT = Path(__file__).parents[2]
# Eight downloads for two seconds in a namespace of our own, as a workload has one.
ASK = """
import json, sys, time
from pathlib import Path
from perf import namespace
if (reason := namespace.enter(["cubic"])) is not None:
    sys.exit(f"skip: {reason}")
from perf.errors import PerfError
from perf.load import paced
from perf.servers import SHAPERS, Setup, running
name, root, path, rate, size, cpu = sys.argv[1:]
setup = Setup(Path(root), [int(cpu)], body_bytes=int(size), download_bps=int(rate))
kind = SHAPERS[name]
try:
    with running(kind, setup, path) as server:
        begin_ns = time.monotonic_ns() + 1_500_000_000
        order = paced.PacedOrder(server.port, path, 8, 200_000_000, begin_ns, 20,
            host=server.host, network=server.readers,
            read_bps=int(rate) if "unshaped" in name else 0)
        print(json.dumps([sum(row) / 2 for row in paced.download(order).slots]))
except PerfError as error:
    sys.exit(f"skip: {error}" if "no HTB here" in str(error) else str(error))
"""


@pytest.mark.alone
@pytest.mark.parametrize("name", [n for n in SHAPERS if not n.endswith("full-speed")])
def test_every_shaper_gives_every_download_its_limit(name: str, tmp_path: Path) -> None:
    kind = SHAPERS[name]
    if kind.version() is None:
        pytest.skip(f"{name} is not installed")
    tmp_path.chmod(0o755)
    path = corpus.make(tmp_path, 8 * corpus.MIB)
    setup = Setup(tmp_path, [0], download_bps=corpus.MIB)
    if (reason := kind.unfit(setup)) is not None:
        pytest.skip(reason)
    words = [name, tmp_path, path, corpus.MIB, 8 * corpus.MIB]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            ASK,
            *map(str, words),
            str(min(os.sched_getaffinity(0))),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.stderr.startswith("skip: "):
        pytest.skip(done.stderr.removeprefix("skip: ").strip())
    assert done.returncode == 0, done.stderr
    for mean in json.loads(done.stdout):
        assert mean == pytest.approx(corpus.MIB, rel=0.25)


def test_a_server_without_its_limit_is_configured_without_it(tmp_path: Path) -> None:
    limited = Setup(tmp_path, [0], download_bps=5)
    for reading in ("paced", "full"):
        kind = Unshaped(KINDS["nginx"], reading)  # type: ignore[arg-type]
        kind.launch(limited, 1, tmp_path)
        assert "limit_rate" not in (tmp_path / "nginx.conf").read_text()
    assert Unshaped(KINDS["nginx"], "paced").name == "nginx-unshaped"


def test_haproxy_limits_each_stream_or_all_of_one_source(tmp_path: Path) -> None:
    setup = Setup(tmp_path, [0, 1], download_bps=2**20)
    text = HaproxyBwlim().config(setup, 1, tmp_path)
    assert re.search(r"bwlim-out limit default-limit 1048576 default-period 1s", text)
    assert "nbthread 2" in text
    one = replace(setup, download_bps=None, clients=[Client("a", None, 7_000_000)])
    text = HaproxyBwlim().config(one, 1, tmp_path)
    assert "bwlim-out limit limit 7000000 key src table sources" in text
    assert "store bytes_out_rate(1s)" in text


def test_haproxy_forwards_pieces_between_two_segments_and_a_buffer() -> None:
    assert piece_bytes(10) == MIN_BYTES
    assert MIN_BYTES < piece_bytes(2**20) < PIECE_BYTES_MAX
    assert piece_bytes(2**30) == PIECE_BYTES_MAX


def test_an_haproxy_without_the_filter_is_left_out_with_the_version_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "haproxy"
    old.write_text("#!/bin/sh\necho 'HAProxy version 2.6.12'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert not has_filter(str(old))
    reason = HaproxyBwlim().unfit(Setup(tmp_path, [0], download_bps=5))
    assert reason is not None
    assert "2.7" in reason


def test_htb_has_a_class_for_each_download_at_its_rate_on_the_wire(
    tmp_path: Path,
) -> None:
    found = list(classes(Setup(tmp_path, [0], connections=3, download_bps=1448)))
    assert [c.minor for c in found] == [1, 2, 3]
    assert {(c.rate_bps, c.ceil_bps, c.parent) for c in found} == {(1448, 1448, 0)}
    assert wire_bits(SEGMENT_BYTES) == 8 * PACKET_BYTES
    assert "parent 1: classid 1:1 htb rate 12112bit ceil 12112bit" in found[0].words()


def test_htb_guarantees_shares_by_weight_and_lends_all(tmp_path: Path) -> None:
    clients = [
        Client(name, None, weight=w) for name, w in zip("abc", (1, 2, 4), strict=True)
    ]
    parent, *found = classes(Setup(tmp_path, [0], clients=clients, total_bps=7000))
    assert (parent.minor, parent.rate_bps) == (PARENT, 7000)
    assert [c.rate_bps for c in found] == [1000, 2000, 4000]
    assert {c.ceil_bps for c in found} == {7000}
    quanta = [c.quantum_bytes for c in found]
    assert quanta[1] == 2 * quanta[0]
    assert quanta[2] == 4 * quanta[0]
    assert sum(c.rate_bps for c in found) <= parent.rate_bps


def test_htb_gets_pieces_as_even_as_quanta(tmp_path: Path) -> None:
    def piece(rate_bps: int | None) -> int:
        return offload_bytes(Setup(tmp_path, [0], download_bps=rate_bps))

    assert piece(10 * corpus.KIB) == 2 * PACKET_BYTES
    assert piece(corpus.MIB) == corpus.MIB // 40
    assert piece(None) == piece(2**30) == 65_536
    client = Client("a", None, 10 * corpus.KIB)
    assert offload_bytes(Setup(tmp_path, [0], clients=[client])) == 2 * PACKET_BYTES


def test_every_shaper_is_known_by_its_own_name() -> None:
    assert {"penstock", "nginx", "haproxy-bwlim", "nginx-htb"} <= set(SHAPERS)
    for name, kind in SHAPERS.items():
        assert kind.name == name
