"""The engine's thread allocates nothing while it shapes: counted in a real server."""

from __future__ import annotations

import os
import selectors
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.serving import Server, request

SHIM = Path(__file__).with_name("count_allocations.c")
SLOT = struct.Struct("=qq")  # thread id, calls
SLOTS = 256
CLIENTS = 80  # each with an address, and so a bucket, of its own
RATE = "1MB/s"  # 20 quanta a second for each
WARM_S, STEADY_S = 1.0, 2.0
GRANTS_LEAST = 2000


class Allocations:
    """What ``SHIM`` counts, by thread id."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(bytes(SLOT.size * SLOTS))

    def calls(self) -> dict[int, int]:
        slots = SLOT.iter_unpack(self.file.read_bytes())
        return {tid: calls for tid, calls in slots if tid}


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Allocations:
    """Servers that are started from now on count their allocations."""
    if "LD_PRELOAD" in os.environ:
        pytest.skip(
            "LD_PRELOAD is taken: the sanitizers have an allocator of their own"
        )
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path / "count_allocations.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SHIM)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        pytest.skip(
            f"the shim does not compile (is this glibc?): {built.stderr[-200:]}"
        )
    allocations = Allocations(tmp_path / "allocations")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("PENSTOCK_ALLOCATIONS", str(allocations.file))
    return allocations


def engine_thread(server: Server) -> int:
    tasks = Path(f"/proc/{server.pid}/task")
    names = {int(t.name): (t / "comm").read_text().strip() for t in tasks.iterdir()}
    [tid] = [tid for tid, name in names.items() if name == "penstock-eng0"]
    return tid


@contextmanager
def downloads(server: Server) -> Iterator[Callable[[float], None]]:
    """One for each of ``CLIENTS``; yields a function that reads them for a while."""
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for i in range(CLIENTS):
            sock = stack.enter_context(socket.socket())
            sock.bind((f"127.0.1.{i + 1}", 0))
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(request("/big"))
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ)
        yield lambda seconds: read_all(selector, seconds)


def read_all(selector: selectors.BaseSelector, seconds: float) -> None:
    scratch = bytearray(1 << 16)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            assert sock.recv_into(scratch), "a download ended too soon"


def test_no_quantum_allocates_memory(
    counted: Allocations, start: Callable[..., Server]
) -> None:
    server = start("--client-rate", RATE, "--cpus", "0")
    engine = engine_thread(server)
    with downloads(server) as read:
        read(WARM_S)
        grants, before = server.total("grants_total"), counted.calls()
        read(STEADY_S)
        grants, after = server.total("grants_total") - grants, counted.calls()
    assert grants >= GRANTS_LEAST
    # That the shim counts at all: the thread's own start, and the admin API's answers.
    assert before[engine] > 0
    assert after[server.pid] > before[server.pid]
    assert after[engine] - before[engine] == 0
