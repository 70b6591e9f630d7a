"""Uploads: connections that bring one body after the other, by PUT (RFC 4918) or by
tus, from memory by sendfile(2), so that the client copies next to nothing.

What the server does not do to keep a file is done here and measured apart: with
``sync``, each one is fsynced, and its directory, after the answer. The files are
deleted by us, too, so that nobody's figures have it. Each must be as long as its body;
the last one of every connection is compared with it afterwards.

It runs as a program of its own, see ``perf.load.apart``.
"""

import base64
import os
import random
import re
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

Protocol = Literal["dav", "tus", "tus-patch"]
"""tus: the body comes with the request that begins the upload; tus-patch: by a second
one, as most clients do it."""
GRACE_SECONDS = 120.0
STALL_SECONDS = 60.0
HEAD_BYTES_MAX = 16384
BLOCK_BYTES = 1_000_003
"""No size of anything, so that bytes in a wrong place are wrong."""
TUS = ("Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream")


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
    last: list[str] = field(default_factory=list)
    """Of each connection, the upload that is still there, see ``check``."""


@dataclass
class _Sums:
    uploads: int = 0
    sync_cpu_ns: int = 0
    last: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def request(order: BringOrder, name: str) -> bytes:
    """The head of what begins an upload."""
    if order.protocol == "dav":
        return _head(f"PUT /{name}", order.size_bytes)
    fields = [
        f"Upload-Length: {order.size_bytes}",
        f"Upload-Metadata: filename {base64.b64encode(name.encode()).decode()}",
    ]
    if order.protocol == "tus":
        return _head("POST /files", order.size_bytes, *TUS, *fields)
    return _head("POST /files", 0, TUS[0], *fields)


def _head(asked: str, length: int, *fields: str) -> bytes:
    lines = [f"{asked} HTTP/1.1", "Host: perf", *fields, f"Content-Length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(sock: socket.socket) -> bytes:
    """The head of a success, whose body is empty or comes with its head.

    Raises:
        PerfError: it is none, the server closed the connection, or there is no end.
    """
    received = b""
    while not _ended(received):
        piece = sock.recv(4096)
        if not piece or len(received) > HEAD_BYTES_MAX:
            raise PerfError("the server closed a connection within an answer")
        received += piece
    if (status := int(received.split(b" ", 2)[1])) not in (201, 204):
        raise PerfError(f"an upload was answered {status}")
    return received.partition(b"\r\n\r\n")[0]


def _ended(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if b"\r\ntransfer-encoding:" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    return bool(end)


def location(head: bytes) -> str:
    """The path of what it says was created.

    Raises:
        PerfError: it does not say.
    """
    found = re.search(rb"\r\nlocation: *(?:http://[^/]*)?(/\S*)", head, re.IGNORECASE)
    if found is None:
        raise PerfError("an upload was begun and has no Location")
    return found[1].decode()


def created(order: BringOrder, sock: socket.socket, name: str) -> bytes:
    """The head of the request that brings the body; what comes before it is done.

    Raises:
        PerfError, OSError: the upload could not be created.
    """
    head = request(order, name)
    if order.protocol != "tus-patch":
        return head
    sock.sendall(head)
    asked = f"PATCH {location(answer(sock))}"
    return _head(asked, order.size_bytes, *TUS, "Upload-Offset: 0")


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
        count, path = 0, None
        while time.monotonic_ns() < until_ns:
            if path is not None:
                path.unlink()
            path = Path(order.folder, f"up-{number}-{count}")
            count += 1
            _one(order, sock, path, body)
            spent_ns = kept(path) if order.sync else 0
            with s.lock:
                s.uploads += 1
                s.sync_cpu_ns += spent_ns
        with s.lock:
            s.last += [] if path is None else [path.name]


def _one(order: BringOrder, sock: socket.socket, path: Path, body: int) -> None:
    sock.sendall(created(order, sock, path.name))
    offset = 0
    while offset < order.size_bytes:
        offset += _send(sock, body, offset, order.size_bytes - offset)
    answer(sock)
    if (size := path.stat().st_size) != order.size_bytes:
        raise PerfError(f"an upload of {order.size_bytes} bytes has {size}")


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


def _block() -> bytes:
    """What bodies are made of, again and again."""
    return random.Random(0).randbytes(BLOCK_BYTES)


def body(size_bytes: int) -> int:
    """In memory, without holes: all of them would be the same page, which is hot."""
    block = _block()
    fd = os.memfd_create("body")
    for left in range(size_bytes, 0, -len(block)):
        os.write(fd, block[:left])
    return fd


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
    fd = body(order.size_bytes)

    def work(number: int) -> Callable[[], None]:
        return _noting(lambda: _bring(order, number, fd, until_ns, sums), sums)

    threads = [threading.Thread(target=work(i)) for i in range(order.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_ns = time.monotonic_ns() - began_ns
    cpu_ns = time.process_time_ns() - cpu_ns
    os.close(fd)
    if sums.failures:
        raise PerfError(sums.failures[0])
    return BringRun(
        body_bytes=sums.uploads * order.size_bytes,
        uploads=sums.uploads,
        seconds=wall_ns / 1e9,
        cpu_ns=cpu_ns - sums.sync_cpu_ns,
        sync_cpu_ns=sums.sync_cpu_ns,
        wall_ns=wall_ns,
        last=sums.last,
    )


def check(order: BringOrder, done: BringRun) -> None:
    """Compare the last upload of each connection with what was sent, and delete it.

    Raises:
        PerfError: it is something else.
    """
    block = _block()
    for path in (Path(order.folder, name) for name in done.last):
        with path.open("rb") as file:
            for left in range(order.size_bytes, 0, -len(block)):
                if file.read(len(block)) != block[:left]:
                    raise PerfError("an upload is not what was sent")
        path.unlink()


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
