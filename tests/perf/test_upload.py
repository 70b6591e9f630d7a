"""Uploads as a load, and how they are judged."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from perf import corpus
from perf.cases import Case
from perf.errors import PerfError
from perf.load import bring
from perf.load.bring import BringOrder, BringRun
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
    later = replace(ORDER, protocol="tus-patch")
    assert b"Upload-Length: 300000\r\n" in bring.request(later, "a")
    assert b"\r\nContent-Length: 0\r\n" in bring.request(later, "a")
    assert bring.request(replace(ORDER, protocol="dav"), "a").startswith(b"PUT /a ")


@pytest.mark.parametrize("told", ["http://perf/files/a", "/files/a"])
def test_a_body_goes_to_the_location_of_its_upload(told: str) -> None:
    head = f"HTTP/1.1 201 Created\r\nLocation: {told}\r\nDate: now".encode()
    assert bring.location(head) == "/files/a"
    with pytest.raises(PerfError, match="has no Location"):
        bring.location(b"HTTP/1.1 201 Created\r\nDate: now")


def answered(pieces: list[bytes]) -> bytes:
    """What the load makes of an answer that comes in pieces."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with ours, theirs:
        for piece in pieces:
            theirs.send(piece)
        theirs.shutdown(socket.SHUT_WR)
        return bring.answer(ours)


def test_an_answer_is_read_to_the_end_of_its_chunks() -> None:
    head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked"
    assert answered([head + b"\r\n\r\n", b"0\r\n\r\n"]) == head
    with pytest.raises(PerfError, match="within an answer"):
        answered([head + b"\r\n\r\n0\r\n"])


@pytest.mark.parametrize(
    ("change", "reason"), [(b"x", "not what was sent"), (b"", None)]
)
def test_the_last_upload_of_a_connection_is_compared_and_deleted(
    change: bytes, reason: str | None, tmp_path: Path
) -> None:
    order = replace(ORDER, folder=str(tmp_path), size_bytes=bring.BLOCK_BYTES + 5)
    fd = bring.body(order.size_bytes)
    sent = os.pread(fd, 2 * bring.BLOCK_BYTES, 0)
    os.close(fd)
    assert len(sent) == order.size_bytes
    assert sent[-5:] == sent[:5]
    path = tmp_path / "up-0-0"
    path.write_bytes(sent[: len(sent) - len(change)] + change)
    done = BringRun(0, 1, 1.0, 0, 0, 0, [path.name])
    if reason is None:
        bring.check(order, done)
        assert not path.exists()
        return
    with pytest.raises(PerfError, match=reason):
        bring.check(order, done)


def test_an_upload_that_is_too_short_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "up-0-0").write_bytes(b"x")
    answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once() -> None:
            peer, _ = listener.accept()
            with peer:
                left = len(bring.request(order, "up-0-0")) + order.size_bytes
                while left:
                    left -= len(peer.recv(65536))
                peer.sendall(answer)

        port = listener.getsockname()[1]
        order = replace(ORDER, port=port, folder=str(tmp_path), connections=1)
        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(PerfError, match="300000 bytes has 1"):
            bring.bring(order)
        thread.join()


@pytest.mark.parametrize("name", UPLOADERS)
def test_every_server_keeps_what_it_is_brought(name: str, tmp_path: Path) -> None:
    kind = UPLOADERS[name]
    if kind.version() is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "probe").write_bytes(b"x")
    setup = Setup(tmp_path, [0], uploads=2)
    if (reason := kind.unfit(setup)) is not None:
        pytest.skip(reason)
    with running(kind, setup, "probe") as server:
        order = replace(
            ORDER,
            port=server.port,
            folder=str(tmp_path),
            protocol=upload.PROTOCOLS.get(name, "tus"),
            sync=True,
        )
        done = bring.bring(order)
    assert done.uploads >= 2
    assert done.body_bytes == 300_000 * done.uploads
    assert len(done.last) == 2
    bring.check(order, done)
    assert not list(tmp_path.glob("up-*"))  # looked at, fsynced, deleted


def test_an_upload_that_is_refused_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"x")
    kind = UPLOADERS["penstock"]
    with running(kind, Setup(tmp_path, [0]), "probe") as server:
        order = BringOrder(server.port, str(tmp_path), 1000, 1, 0.1, "tus")
        with pytest.raises(PerfError, match="answered 405"):
            bring.bring(order)
