"""Uploads: connections that bring one body after the other, by PUT (RFC 4918) or by
tus, from memory by sendfile(2), so that the client copies next to nothing.

What the server does not do to keep a file is done here and measured apart: with
``sync``, each one is fsynced, and its directory, after the answer. The files are
deleted by us, too, so that nobody's figures have it.

It runs as a program of its own, see ``perf.load.apart``.
"""

import base64
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from perf.errors import PerfError
from perf.load import apart

Protocol = Literal["dav", "tus"]
GRACE_SECONDS = 120.0
STALL_SECONDS = 60.0
HEAD_BYTES_MAX = 16384


@dataclass(frozen=True, slots=True)
class BringOrder:
    port: int
    folder: str  # in which the files appear
    size_bytes: int
    connections: int
    seconds: float
    protocol: Protocol
    sync: bool = False


@dataclass(frozen=True, slots=True)
class BringRun:
    body_bytes: int
    uploads: int
    seconds: float
    cpu_ns: int  # but for what follows
    sync_cpu_ns: int
    wall_ns: int


@dataclass
class _Sums:
    uploads: int = 0
    sync_cpu_ns: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def request(order: BringOrder, name: str) -> bytes:
    """The head of one upload."""
    lines = {
        "dav": [f"PUT /{name} HTTP/1.1", "Host: perf"],
        "tus": [
            "POST /files HTTP/1.1",
            "Host: perf",
            "Tus-Resumable: 1.0.0",
            f"Upload-Length: {order.size_bytes}",
            "Content-Type: application/offset+octet-stream",
            f"Upload-Metadata: filename {base64.b64encode(name.encode()).decode()}",
        ],
    }[order.protocol]
    lines.append(f"Content-Length: {order.size_bytes}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def status_of(sock: socket.socket) -> int:
    """Of the answer, whose body must be empty or come with its head.

    Raises:
        PerfError: the server closed the connection, or answers without an end.
    """
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        if not piece or len(head) > HEAD_BYTES_MAX:
            raise PerfError("the server closed a connection within an answer")
        head += piece
    return int(head.split(b" ", 2)[1])


def kept(path: Path) -> int:
    """Make a file durable; the CPU time of this thread for it."""
    began_ns = time.thread_time_ns()
    for what, flags in ((path, os.O_RDONLY), (path.parent, os.O_DIRECTORY)):
        fd = os.open(what, flags)
        os.fsync(fd)
        os.close(fd)
    return time.thread_time_ns() - began_ns


def _bring(order: BringOrder, number: int, body: int, until_ns: int, s: _Sums) -> None:
    with socket.create_connection(("127.0.0.1", order.port), STALL_SECONDS) as sock:
        count = 0
        while time.monotonic_ns() < until_ns:
            name = f"up-{number}-{count}"
            sock.sendall(request(order, name))
            offset = 0
            while offset < order.size_bytes:
                offset += _send(sock, body, offset, order.size_bytes - offset)
            if (status := status_of(sock)) not in (201, 204):
                raise PerfError(f"an upload was answered {status}")
            path = Path(order.folder, name)
            spent_ns = kept(path) if order.sync else 0
            path.unlink()
            count += 1
            with s.lock:
                s.uploads += 1
                s.sync_cpu_ns += spent_ns


def _send(sock: socket.socket, body: int, offset: int, n_bytes: int) -> int:
    """A socket with a timeout does not block, so that it may have to be waited for."""
    try:
        return os.sendfile(sock.fileno(), body, offset, n_bytes)
    except BlockingIOError:
        sock.setblocking(True)
        try:
            return os.sendfile(sock.fileno(), body, offset, n_bytes)
        finally:
            sock.settimeout(STALL_SECONDS)


def _noting(work: Callable[[], None], sums: _Sums) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except (PerfError, OSError) as error:
            with sums.lock:
                sums.failures.append(str(error))

    return run


def bring(order: BringOrder) -> BringRun:
    """Run the order in this process; every upload that was begun is brought to its end.

    Raises:
        PerfError: one was not a success.
    """
    sums = _Sums()
    cpu_ns, began_ns = time.process_time_ns(), time.monotonic_ns()
    until_ns = began_ns + int(order.seconds * 1e9)
    body = os.memfd_create("body")
    os.write(body, os.urandom(1 << 16))
    os.ftruncate(body, order.size_bytes)

    def work(number: int) -> Callable[[], None]:
        return _noting(lambda: _bring(order, number, body, until_ns, sums), sums)

    threads = [threading.Thread(target=work(i)) for i in range(order.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(body)
    if sums.failures:
        raise PerfError(sums.failures[0])
    wall_ns = time.monotonic_ns() - began_ns
    return BringRun(
        body_bytes=sums.uploads * order.size_bytes,
        uploads=sums.uploads,
        seconds=wall_ns / 1e9,
        cpu_ns=time.process_time_ns() - cpu_ns - sums.sync_cpu_ns,
        sync_cpu_ns=sums.sync_cpu_ns,
        wall_ns=wall_ns,
    )


def run(order: BringOrder, cpus: set[int]) -> BringRun:
    """Run the order in a process of its own on ``cpus``.

    Raises:
        PerfError: it failed; with its reason.
    """
    seconds = order.seconds + GRACE_SECONDS
    return BringRun(**apart.run("perf.load.bring", asdict(order), cpus, seconds))


def _work(order: dict[str, Any]) -> dict[str, object]:
    return asdict(bring(BringOrder(**order)))


if __name__ == "__main__":
    sys.exit(apart.answer(_work))
