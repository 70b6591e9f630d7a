"""The lab as those see it who use it: two hosts, and the links between them."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from perf.errors import PerfError
from perf.lab.door import door
from perf.lab.ends import CLIENT_NETWORK, SERVER_HOST
from perf.lab.link import Shape, Statistics
from perf.lab.relay import ORDER_BYTES_MAX

ANSWER_SECONDS = 10.0
CLEAR = Shape()
"""Without delay, loss or limit."""
_REPOSITORY = Path(__file__).resolve().parents[2]

EndName = Literal["server", "client"]
DirectionName = Literal["down", "up"]
"""``down``: from the server to the client."""
Shapes = dict[DirectionName, Shape]


class LabUnavailableError(PerfError):
    """This machine does not permit such a network; the message says why."""


class Lab:
    """Its methods may be called by several threads."""

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket
    ) -> None:
        self._process, self._control = process, control
        self._lock = threading.Lock()
        self._namespaces: dict[str, Any] = {}
        self._shapes: dict[DirectionName, Shape] = {}

    def begin(self, *, seed: int, congestion: str, ecn: int, shapes: Shapes) -> None:
        """Make the network; see ``opened``."""
        self._shapes = dict(shapes)
        order = {"seed": seed, "congestion": congestion, "ecn": ecn}
        order |= {name: asdict(shape) for name, shape in shapes.items()}
        self._namespaces, _ = self._exchange(order)
        if "error" in self._namespaces:
            raise LabUnavailableError(self._namespaces["error"])

    def inside(self, end: EndName) -> list[str]:
        """What to put before a command, so that it runs at that end."""
        proc = f"/proc/{self._process.pid}"
        user = [f"--user={proc}/ns/user", "--preserve-credentials"]
        return [
            "nsenter",
            *(user if self._namespaces["own_user"] else ()),
            f"--net={proc}/fd/{self._namespaces[end]}",
            "--",
        ]

    def open_socket(
        self, end: EndName, kind: int = socket.SOCK_STREAM
    ) -> socket.socket:
        """An IPv4 socket that belongs to that end, whoever uses it.

        Raises:
            PerfError: the lab has ended, or may open no more.
        """
        _, fds = self._ask({"op": "socket", "end": end, "type": int(kind)})
        return socket.socket(fileno=fds[0])

    def client_socket(self, client: int = 0) -> socket.socket:
        """A TCP socket with the address of the client with that number.

        Raises:
            PerfError: as ``open_socket`` has it.
        """
        sock = self.open_socket("client")
        sock.bind((client_host(client), 0))
        return sock

    def connect(self, port: int, client: int = 0, seconds: float = 10) -> socket.socket:
        """A connection to the server's ``port`` from the client with that number.

        Raises:
            OSError: it was not made, or not within ``seconds``, its timeout from
                now on.
        """
        with ExitStack() as undo:
            sock = undo.enter_context(self.client_socket(client))
            sock.settimeout(seconds)
            sock.connect((SERVER_HOST, port))
            undo.pop_all()
        return sock

    def door(self, port: int) -> AbstractContextManager[int]:
        """A port of our own loopback device that leads to one of the server's."""
        return door(lambda: self.open_socket("server"), "127.0.0.1", port)

    def change(self, direction: DirectionName, **changes: Any) -> Shape:
        """Give some fields of a link's shape other values, from now on.

        Raises:
            PerfError: the lab has ended.
            ValueError: a value is out of its bounds.
        """
        shape = replace(self._shapes[direction], **changes)
        self._ask({"op": "change", "direction": direction, "shape": asdict(shape)})
        self._shapes[direction] = shape
        return shape

    def statistics(self, direction: DirectionName) -> Statistics:
        """As they are now.

        Raises:
            PerfError: the lab has ended.
        """
        answer, _ = self._ask({"op": "statistics", "direction": direction})
        return Statistics(**answer)

    def counters(self, end: EndName) -> dict[str, int]:
        """What the kernel counted there since the beginning: ``RetransSegs``,
        ``TCPDeliveredCE``, and all else of snmp_counter.rst about TCP."""
        files = ["/proc/net/snmp", "/proc/net/netstat"]
        done = subprocess.run(
            [*self.inside(end), "cat", *files],
            check=True,
            capture_output=True,
            text=True,
        )
        rows = [line.split() for line in done.stdout.splitlines()]
        return {
            name: int(value)
            for names, values in zip(rows[::2], rows[1::2], strict=True)
            if names[0] in ("Tcp:", "TcpExt:")
            for name, value in zip(names[1:], values[1:], strict=True)
        }

    def _ask(self, order: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        answer, fds = self._exchange(order)
        if "error" in answer:
            raise PerfError(answer["error"])
        return answer, fds

    def _exchange(self, order: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        try:
            with self._lock:
                self._control.send(json.dumps(order).encode())
                message, fds, _, _ = socket.recv_fds(self._control, ORDER_BYTES_MAX, 1)
        except OSError as error:
            raise PerfError(f"the lab does not answer: {error}") from None
        if not message:
            raise PerfError("the lab has ended")
        return json.loads(message), fds


def client_host(number: int) -> str:
    """The address of one of many clients; the first has number 0.

    Raises:
        IndexError: there are fewer than 65,534.
    """
    return str(ip_network(CLIENT_NETWORK)[1 + number])


@contextmanager
def opened(
    *,
    seed: int = 1,
    congestion: str = "cubic",
    ecn: int = 1,
    down: Shape = CLEAR,
    up: Shape = CLEAR,
) -> Iterator[Lab]:
    """A network of its own until the block ends.

    Args:
        seed: decides which packets are lost and which are marked.
        congestion: the congestion control of all its connections, at both ends.
        ecn: the kernel's tcp_ecn at both ends; 1: connections ask for it.
        down: the link from the server to the client.
        up: the link back.

    Raises:
        LabUnavailableError: namespaces or TUN devices are not permitted here, or a
            program is missing.
    """
    if shutil.which("nsenter") is None:
        raise LabUnavailableError("nsenter (util-linux) is not installed")
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with control:
        control.settimeout(ANSWER_SECONDS)
        with theirs:
            process = _start(theirs)
        lab = Lab(process, control)
        try:
            lab.begin(
                seed=seed,
                congestion=congestion,
                ecn=ecn,
                shapes={"down": down, "up": up},
            )
            yield lab
        finally:
            control.close()  # which ends it
            _await_end(process)


def _start(control: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "perf.lab", str(control.fileno())],
        stdin=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        cwd=_REPOSITORY,
        start_new_session=True,  # Ctrl-C is for us, who then end it
    )


def _await_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
