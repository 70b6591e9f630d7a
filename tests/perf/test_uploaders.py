"""Slow uploaders as a load, and what is made of who downloads beside them."""

import os
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from perf.bench import Bench
from perf.errors import PerfError
from perf.load import bring, drip
from perf.load.bring import BringOrder
from perf.load.drip import DripOrder, DripRun
from perf.load.openloop import Run
from perf.results import Sample
from perf.servers import UPLOADERS, Running, Setup, running
from perf.servers.base import free_port
from perf.servers.penstock import CONFIG_NAME
from perf.stats import Quantiles
from perf.workloads import uploaders
from perf.workloads.uploaders import Case
from tests.perf.test_workloads import bench

ORDER = DripOrder(BringOrder(0, "", 10**6, 4, 0.0, "dav"), 4000, 100, 8_000_000)
CPU = min(os.sched_getaffinity(0))


@dataclass
class Taker:
    """Takes the bodies of four uploaders."""

    port: int = 0
    answer: bytes = b""  # to whoever brings more than enough
    by_address: dict[str, int] = field(default_factory=dict)
    enough: threading.Event = field(default_factory=threading.Event)
    """Each has brought more than the parts that come at once."""

    def take(self, listener: socket.socket, stack: ExitStack) -> None:
        socks = {}
        for _ in range(ORDER.body.connections):
            sock, (address, _) = listener.accept()
            socks[stack.enter_context(sock)] = address
            self.by_address[address] = 0
        with selectors.DefaultSelector() as selector:
            for sock in socks:
                selector.register(sock, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    sock = key.fileobj
                    assert isinstance(sock, socket.socket)
                    if not (piece := sock.recv(65536)):
                        selector.unregister(sock)
                    self._took(sock, socks[sock], len(piece))

    def _took(self, sock: socket.socket, address: str, count: int) -> None:
        before = self.by_address[address]
        self.by_address[address] = before + count
        if count and all(self.more_than_first(i) for i in range(4)):
            self.enough.set()
            sock.send(self.answer)

    def more_than_first(self, index: int) -> bool:
        head = len(bring.request(ORDER.body, f"slow-{index}"))
        got = self.by_address[drip.source_address(index)]
        return got > head + sum(drip.parts(ORDER, index))


@contextmanager
def taking(answer: bytes = b"") -> Iterator[tuple[Taker, DripOrder]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        taker = Taker(listener.getsockname()[1], answer)
        thread = threading.Thread(target=taker.take, args=(listener, stack))
        thread.start()
        try:
            yield taker, replace(ORDER, body=replace(ORDER.body, port=taker.port))
        finally:
            thread.join()


@contextmanager
def ending_after(event: threading.Event) -> Iterator[int]:
    """A pipe whose other end is closed then."""
    reader, writer = os.pipe()

    def close() -> None:
        event.wait(10)
        os.close(writer)

    thread = threading.Thread(target=close)
    thread.start()
    try:
        yield reader
    finally:
        event.set()
        thread.join()
        os.close(reader)


def test_uploaders_begin_differently_and_go_on_until_they_are_ended() -> None:
    began: list[bool] = []
    with taking() as (taker, order), ending_after(taker.enough) as end:
        done = drip.drip(order, end, lambda: began.append(True))
    assert began == [True]
    assert len(taker.by_address) == 4
    assert taker.enough.is_set()
    heads = sum(len(bring.request(ORDER.body, f"slow-{i}")) for i in range(4))
    parts = [drip.parts(order, index) for index in range(4)]
    assert parts == [(0, 0), (1000, 500), (2000, 1000), (3000, 1500)]
    at_once = sum(map(sum, parts))
    assert sum(taker.by_address.values()) == heads + at_once + done.body_bytes
    assert done.body_bytes % order.piece_bytes == 0


def test_an_uploader_that_is_answered_fails_the_load() -> None:
    answer = b"HTTP/1.1 507 Insufficient Storage\r\n\r\n"
    with (
        taking(answer) as (_, order),
        ending_after(threading.Event()) as end,
        pytest.raises(PerfError, match=r"one was ended: HTTP/1\.1 507"),
    ):
        drip.drip(order, end, lambda: None)


def test_bodies_that_come_to_their_end_fail_the_load() -> None:
    with taking() as (_, order), ending_after(threading.Event()) as end:
        short = replace(order, body=replace(order.body, size_bytes=6050))
        with pytest.raises(PerfError, match="too short"):
            drip.drip(short, end, lambda: None)


def test_uploaders_that_can_not_begin_are_told_by_their_program() -> None:
    nobody = replace(ORDER, body=replace(ORDER.body, port=free_port()))
    with (
        pytest.raises(PerfError, match=r"slow uploads: \[Errno 111\]"),
        drip.dripping(nobody, {CPU}),
    ):
        pass


@pytest.mark.parametrize("name", ["penstock", "nginx-dav"])
def test_a_server_holds_slow_uploads(name: str, tmp_path: Path) -> None:
    kind = UPLOADERS[name]
    if kind.version() is None:
        pytest.skip(f"{name} is not installed")
    tmp_path.chmod(0o755)
    (tmp_path / "probe").write_bytes(b"x")
    held = Case(1024, 20, 100)
    with running(kind, Setup(tmp_path, [CPU], uploads=20), "probe") as server:
        order = uploaders.order(bench(tmp_path, "penstock"), server, held)
        with drip.dripping(order, {CPU}) as drips:
            done = drips.end()
    assert done.stalled == 0


def test_a_program_that_is_not_ended_goes_with_its_block() -> None:
    with taking() as (taker, order), drip.dripping(order, {CPU}):
        assert taker.enough.wait(10)


def test_a_turn_leaves_nothing_of_its_uploads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots: list[Path] = []
    sample = Sample("penstock", "case", 0, {})

    def measured(there: Bench, *_: object) -> Sample:
        roots.append(there.folder)
        (there.folder / "slow-0").write_bytes(b"x")
        return sample

    monkeypatch.setattr(uploaders, "_measured", measured)
    there = bench(tmp_path, "penstock")
    result = uploaders.run(there, [Case(1024, 1, 1)])
    assert result.samples == [sample] * there.rounds
    assert len(set(roots)) == there.rounds
    assert not list(tmp_path.iterdir())


def test_bodies_last_longer_than_they_are_measured(tmp_path: Path) -> None:
    there = bench(tmp_path, "penstock")
    order = uploaders.order(there, Running("penstock", 1, 2), Case(1, 1000, 1))
    at_once = sum(drip.parts(order, 1000))
    lasts = (order.body.size_bytes - at_once) / order.piece_bytes
    seconds = lasts * order.period_ns / 1e9
    assert seconds > there.seconds + uploaders.SETTLE_SECONDS + 30
    assert order.body.protocol == "tus-patch"
    dav = uploaders.order(there, Running("nginx-dav", 1, 2), Case(1, 1000, 1))
    assert dav.body.protocol == "dav"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drip, "BETWEEN_PARTS_SECONDS", 0.0)


def ran(p99_us: float, late_us: float = 0.0) -> Run:
    latency, late = (
        Quantiles(us * 500, us * 1e3, us * 1e3, us * 1e3) for us in (p99_us, late_us)
    )
    return Run(latency, 0.0, late, 1.0, 0.5)


def test_the_figure_is_the_p99_beside_over_the_p99_alone() -> None:
    found = uploaders.of_both(ran(100), ran(250))
    assert found["p99_ratio"] == 2.5
    assert found["alone_p99_us"] == 100


def test_a_generator_that_was_late_in_anything_is_the_limit() -> None:
    done = DripRun(1, 1.0, 1, uploaders.PERIOD_NS, 0)
    late = replace(done, late_ns=uploaders.PERIOD_NS + 1)
    assert uploaders.limit_of(ran(100), ran(100), done) == "neither"
    assert uploaders.limit_of(ran(100, 20), ran(100), done) == "client"
    assert uploaders.limit_of(ran(100), ran(100, 20), done) == "client"
    assert uploaders.limit_of(ran(100), ran(100), late) == "client"


def test_penstock_takes_as_many_uploads_at_once_as_it_is_set_up_for(
    tmp_path: Path,
) -> None:
    penstock = UPLOADERS["penstock"]
    if penstock.version() is None:
        pytest.skip("penstock is not built")
    for uploads, wanted in ((1, 1024), (3000, 3000)):
        penstock.launch(Setup(tmp_path, [0], uploads=uploads), 8000, tmp_path)
        assert f"max_at_once = {wanted}\n" in (tmp_path / CONFIG_NAME).read_text()
