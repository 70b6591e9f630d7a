"""The relay between two pairs of sockets in place of devices."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from perf.lab.link import Link, Shape
from perf.lab.relay import Direction, Relay
from tests.lab.packets import ipv4

SECONDS = 10.0


class Bench:
    """A relay in a thread, with its ends and its orders."""

    def __init__(self) -> None:
        datagrams = socket.AF_UNIX, socket.SOCK_DGRAM
        self.server, server = socket.socketpair(*datagrams)
        self.client, client = socket.socketpair(*datagrams)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(SECONDS)
        self.inside = [server, client, control]
        server.setblocking(False)
        client.setblocking(False)
        down = Direction(server.fileno(), Link(Shape(), 1), client.fileno())
        up = Direction(client.fileno(), Link(Shape(), 2), server.fileno())
        self.opened: list[tuple[str, int]] = []
        relay = Relay(control, {"down": down, "up": up}, self.open_socket)
        self.thread = threading.Thread(target=relay.run)
        self.thread.start()

    def open_socket(self, end: str, kind: int) -> socket.socket:
        self.opened.append((end, kind))
        return socket.socket(type=kind)

    def ask(self, **order: Any) -> Any:
        self.control.send(json.dumps(order).encode())
        return json.loads(self.control.recv(65536))

    def close(self) -> None:
        self.control.close()
        self.thread.join(SECONDS)
        for sock in (self.server, self.client, *self.inside):
            sock.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()
    assert not bench.thread.is_alive()


def received(sock: socket.socket, seconds: float = SECONDS) -> bytes | None:
    readable, _, _ = select.select([sock], [], [], seconds)
    return sock.recv(65536) if readable else None


def test_packets_are_carried_both_ways_and_counted_for_each(bench: Bench) -> None:
    bench.server.send(ipv4(b"down"))
    assert received(bench.client) == ipv4(b"down")
    bench.client.send(ipv4(b"up"))
    bench.client.send(ipv4(b"up, too"))
    assert received(bench.server) == ipv4(b"up")
    assert received(bench.server) == ipv4(b"up, too")
    assert bench.ask(op="statistics", direction="down")["delivered"] == 1
    assert bench.ask(op="statistics", direction="up")["delivered"] == 2


def test_an_order_changes_one_direction_while_packets_flow(bench: Bench) -> None:
    shape = asdict(Shape(loss=1.0))
    assert bench.ask(op="change", direction="down", shape=shape) == {}
    bench.server.send(ipv4(b"lost"))
    bench.client.send(ipv4(b"up"))
    assert received(bench.server) == ipv4(b"up")
    bench.ask(op="change", direction="down", shape=asdict(Shape()))
    bench.server.send(ipv4(b"kept"))
    assert received(bench.client) == ipv4(b"kept")
    assert bench.ask(op="statistics", direction="down")["lost"] == 1


def test_the_relay_sleeps_until_a_packet_is_due(bench: Bench) -> None:
    shape = asdict(Shape(delay_ns=30_000_000))
    bench.ask(op="change", direction="down", shape=shape)
    before_ns = time.monotonic_ns()
    bench.server.send(ipv4(b"late"))
    assert received(bench.client) == ipv4(b"late")
    assert time.monotonic_ns() - before_ns >= 30_000_000


def test_what_is_not_ipv4_goes_no_further(bench: Bench) -> None:
    bench.server.send(b"\x60" + bytes(60))
    bench.server.send(ipv4(b"v4"))
    assert received(bench.client) == ipv4(b"v4")
    assert bench.ask(op="statistics", direction="down")["packets"] == 1


def test_a_socket_of_an_end_comes_with_the_answer(bench: Bench) -> None:
    order = {"op": "socket", "end": "client", "type": socket.SOCK_DGRAM}
    bench.control.send(json.dumps(order).encode())
    answer, fds, _, _ = socket.recv_fds(bench.control, 65536, 1)
    with socket.socket(fileno=fds[0]) as sock:
        assert sock.type == socket.SOCK_DGRAM
    assert json.loads(answer) == {}
    assert bench.opened == [("client", socket.SOCK_DGRAM)]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"op": "dance", "direction": "up"}, "dance"),
        ({"direction": "up"}, "op"),
        ({"op": "statistics", "direction": "left"}, "left"),
        ({"op": "change", "direction": "up", "shape": {"loss": 2}}, "loss"),
        ({"op": "change", "direction": "up", "shape": {"jitter": 2}}, "jitter"),
        ({"op": "socket", "end": "client", "type": "raw"}, "TypeError"),
    ],
    ids=str,
)
def test_an_order_that_cannot_be_followed_has_a_reason_and_harms_nothing(
    bench: Bench, order: dict[str, Any], reason: str
) -> None:
    assert reason in bench.ask(**order)["error"]
    bench.server.send(ipv4(b"on"))
    assert received(bench.client) == ipv4(b"on")
