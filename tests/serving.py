"""A real ``penstock serve`` in its own process, and a strict reader of responses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

READY = re.compile(
    r"penstock: serving http://[\d.]+:(\d+).* \| admin http://127\.0\.0\.1:(\d+)"
)
START_SECONDS = 20.0
BALANCE_SECONDS = 5.0
# What must be back to zero when every client is gone.
BALANCED = (
    "connections",
    "requests_in_progress",
    "transfers",
    "transfers_parked",
    "intakes",
    "blocks",
    "pipes",
    "receive_buffers",
    "pending_bytes",
    "sqes_in_flight",
)


def of_others() -> dict[str, str]:
    """The environment of other programs: the sanitizers' runtime is for our process,
    and curl hangs with it."""
    return {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}


@dataclass(frozen=True)
class Place:
    """Where a server runs, and how we get there. By default that is here."""

    host: str = "127.0.0.1"
    inside: Sequence[str] = ()  # before a command that shall run there
    # From a port of its loopback device to one of ours.
    door: Callable[[int], AbstractContextManager[int]] = contextlib.nullcontext
    open_socket: Callable[[], socket.socket] = socket.socket


HERE = Place()


@dataclass
class Response:
    """One response, checked as it is read."""

    status: int
    headers: dict[str, str]
    body: bytes
    version: str = "1.1"

    def __getitem__(self, name: str) -> str:
        return self.headers[name.lower()]


class Client:
    """A raw connection that reads responses strictly."""

    def __init__(
        self, port: int, timeout: float = 10.0, rcvbuf: int = 0, place: Place = HERE
    ) -> None:
        self.sock = place.open_socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect((place.host, port))
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Vanish with an RST."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def fill(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def read_head(self) -> tuple[int, str, dict[str, str]]:
        while b"\r\n\r\n" not in self.buffer:
            assert self.fill(), f"closed within a head: {self.buffer!r}"
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/(1\.1) (\d{3}) [A-Za-z ]+", first)
        assert match, f"not a status line: {first!r}"
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon, f"not a field: {line!r}"
            assert re.fullmatch(r"[A-Za-z-]+", name), f"not a field: {line!r}"
            assert name.lower() not in headers, f"{name} came twice"
            headers[name.lower()] = value
        return int(match[2]), match[1], headers

    def read(self, method: str = "GET") -> Response:
        """The next response; its body has exactly the promised length."""
        status, version, headers = self.read_head()
        bodiless = method == "HEAD" or status in (204, 304)
        if bodiless:
            return Response(status, headers, b"", version)
        length = int(headers["content-length"])
        while len(self.buffer) < length:
            assert self.fill(), f"closed {length - len(self.buffer)} bytes early"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Response(status, headers, body, version)

    def closed(self) -> bool:
        """Whether the server closes, with nothing more said."""
        with contextlib.suppress(ConnectionResetError):
            while self.fill():
                pass
        return self.buffer == b""

    def get(self, path: str, method: str = "GET", **fields: str) -> Response:
        self.send(request(path, method, **fields))
        return self.read(method)


def request(
    path: str, method: str = "GET", version: str = "1.1", **fields: object
) -> bytes:
    """A request; ``if_range="x"`` becomes ``If-Range: x``."""
    lines = [f"{method} {path} HTTP/{version}", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass
class Server:
    """The running process."""

    process: subprocess.Popen[str]
    root: Path
    port: int
    admin: str
    log: Path
    base_fds: int = 0
    clients: list[Client] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    place: Place = HERE

    @property
    def pid(self) -> int:
        return self.process.pid

    def open_fds(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def client(self, timeout: float = 10.0, rcvbuf: int = 0) -> Client:
        client = Client(self.port, timeout, rcvbuf, self.place)
        self.clients.append(client)
        return client

    def close_clients(self) -> None:
        """Those that a test left open, so that one that failed harms no other."""
        for client in self.clients:
            client.sock.close()
        self.clients.clear()

    def get(self, path: str, method: str = "GET", **fields: str) -> Response:
        with self.client() as client:
            return client.get(path, method, **fields)

    def ask(self, path: str, body: Any = None) -> Any:
        """JSON from the admin API; with ``body`` a POST."""
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(
            self.admin + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(call, timeout=10) as answer:
            return json.load(answer)

    def status(self) -> Any:
        return self.ask("/status")

    def total(self, counter: str) -> int:
        return sum(int(engine[counter]) for engine in self.status()["engines"])

    def wait(self, what: str, check: Any, seconds: float = BALANCE_SECONDS) -> None:
        """Poll until ``check()``; fail with ``what`` and its last value."""
        deadline = time.monotonic() + seconds
        value = check()
        while not value and time.monotonic() < deadline:
            time.sleep(0.02)
            value = check()
        assert value, f"{what} did not come true within {seconds} s"

    def unbalanced(self) -> dict[str, int]:
        status = self.status()
        left = {
            name: sum(engine[name] for engine in status["engines"]) for name in BALANCED
        }
        # Open files: cached ones may stay, admin connections may still be closing.
        cached = sum(engine["cache_entries"] for engine in status["engines"])
        spare = self.base_fds + cached + 2
        left["open_fds"] = max(0, status["process"]["open_fds"] - spare)
        return {name: count for name, count in left.items() if count}

    def check_balance(self) -> None:
        """Everything that requests took has been given back."""
        self.close_clients()
        deadline = time.monotonic() + BALANCE_SECONDS
        left = self.unbalanced()
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = self.unbalanced()
        assert not left, f"not given back: {left}\n{self.log.read_text()[-2000:]}"

    def stop(self, seconds: float = 10.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def _ready(process: subprocess.Popen[str], log: Path) -> tuple[int, int]:
    assert process.stdout is not None
    line = process.stdout.readline()
    match = READY.match(line)
    assert match, f"not ready: {line!r}\n{log.read_text()}"
    return int(match[1]), int(match[2])


@contextlib.contextmanager
def running(
    root: Path,
    tmp: Path,
    *options: str,
    nofile: int | None = None,
    port: int = 0,
    place: Place = HERE,
    admin_port: int = 0,
) -> Iterator[Server]:
    """``penstock serve root`` with ``options`` until the block ends."""
    log = tmp / f"stderr-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "penstock", "serve", str(root)]
    if nofile is not None:
        command = ["prlimit", f"--nofile={nofile}:{nofile}", *command]
    if os.geteuid() == 0:  # as for everybody else, permissions bind
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    command += ["--listen", f"{place.host}:{port}"]
    command += ["--admin", f"127.0.0.1:{admin_port}", *options]
    command = [*place.inside, *command]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1] / "server"),
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment,
        )
    server = Server(process, root, 0, "", log, place=place)
    doors = contextlib.ExitStack()
    try:
        server.port, admin_port = _ready(process, log)
        server.admin = f"http://127.0.0.1:{doors.enter_context(place.door(admin_port))}"
        server.base_fds = int(server.status()["process"]["open_fds"])
        yield server
        assert process.poll() is None or server.extra.get("may_exit"), log.read_text()
    finally:
        server.close_clients()
        doors.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()
