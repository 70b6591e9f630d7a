"""Carries packets between two descriptors over two links, and takes orders meanwhile.

One thread and one loop: what is due is written, then it sleeps until a packet, an order
or the next due time. Packets are datagrams: one read(2), one packet, as TUN devices
have it.
"""

import json
import math
import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from perf.lab.ipv4 import is_ipv4
from perf.lab.link import SECOND_NS, Link, Shape

PACKET_BYTES_MAX = 65_536
PULL_MAX = 64
"""Packets taken from one side in a row, so that what is due is not late for long."""
ORDER_BYTES_MAX = 65_536

OpenSocket = Callable[[str, int], socket.socket]
"""From ``"server"`` or ``"client"`` and a type (SOCK_STREAM) to a socket there."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Where packets come from, the link they take, and where they go."""

    source_fd: int  # both do not block
    link: Link
    target_fd: int

    def pull(self) -> None:
        """Take what waits; what is not IPv4 goes no further."""
        for _ in range(PULL_MAX):
            try:
                packet = os.read(self.source_fd, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            if is_ipv4(packet):
                self.link.offer(packet, time.monotonic_ns())

    def push(self) -> None:
        """Hand over what has arrived."""
        for packet in self.link.due(time.monotonic_ns()):
            os.write(self.target_fd, packet)


class Relay:
    """Runs until the other end of ``control`` is closed.

    An order is one message, an object of JSON with ``op``, and has one answer:

    * ``change``, ``direction`` and ``shape``, all fields of a ``Shape``: from now on;
    * ``statistics``, ``direction``: as ``Statistics``;
    * ``socket``, ``end`` and ``type``: a socket at that end, which comes along.

    An order that cannot be followed is answered by ``error``, with the reason.
    """

    def __init__(
        self,
        control: socket.socket,
        directions: Mapping[str, Direction],
        open_socket: OpenSocket,
    ) -> None:
        self._control = control
        self._directions = directions
        self._open_socket = open_socket

    def run(self) -> None:
        sources = {way.source_fd: way for way in self._directions.values()}
        watched = [self._control.fileno(), *sources]
        while True:
            for direction in self._directions.values():
                direction.push()
            # select(2), since poll(2) and epoll(7) count in milliseconds.
            readable, _, _ = select.select(watched, (), (), self._seconds_to_wait())
            for fd in readable:
                if fd in sources:
                    sources[fd].pull()
                elif not self._obey():
                    return

    def _seconds_to_wait(self) -> float | None:
        next_ns = min(way.link.next_ns() for way in self._directions.values())
        if math.isinf(next_ns):
            return None
        return max(0.0, (next_ns - time.monotonic_ns()) / SECOND_NS)

    def _obey(self) -> bool:
        """Whether there may be more orders."""
        message = self._control.recv(ORDER_BYTES_MAX)
        if not message:
            return False
        try:
            answer, sent = self._answer(json.loads(message))
        except (KeyError, TypeError, ValueError, OSError) as error:
            answer, sent = {"error": f"{type(error).__name__}: {error}"}, None
        fds = [] if sent is None else [sent.fileno()]
        try:
            socket.send_fds(self._control, [json.dumps(answer).encode()], fds)
        except BrokenPipeError:
            return False
        finally:
            if sent is not None:
                sent.close()
        return True

    def _answer(
        self, order: dict[str, Any]
    ) -> tuple[dict[str, Any], socket.socket | None]:
        if order["op"] == "socket":
            return {}, self._open_socket(order["end"], order["type"])
        link = self._directions[order["direction"]].link
        if order["op"] == "statistics":
            return asdict(link.statistics), None
        if order["op"] == "change":
            link.change(Shape(**order["shape"]), time.monotonic_ns())
            return {}, None
        raise ValueError(f"no such order: {order['op']!r}")
