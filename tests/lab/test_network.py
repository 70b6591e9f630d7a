"""The lab does to packets what it says, as the kernel's own counters see it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perf.errors import PerfError
from perf.lab.ends import DEVICE, SERVER_HOST
from perf.lab.link import Shape
from perf.lab.network import Lab, LabUnavailableError, opened
from perf.lab.tcpinfo import TcpInfo

OpenLab = Callable[..., Lab]
ROOT = Path(__file__).parents[2]
MS = 1_000_000
SECONDS = 20.0


@contextmanager
def connected(lab: Lab, client: int = 0) -> Iterator[tuple[socket.socket, ...]]:
    """A connection's two ends: the server's and the client's."""
    with lab.open_socket("server") as listener:
        listener.bind((SERVER_HOST, 0))
        listener.listen()
        listener.settimeout(SECONDS)
        with lab.connect(listener.getsockname()[1], client, SECONDS) as theirs:
            ours, _ = listener.accept()
            with ours:
                ours.settimeout(SECONDS)
                yield ours, theirs


class Bulk:
    """Bytes from the server to a client, read in a thread of its own."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target

    def send(self, size: int) -> TcpInfo:
        """Send that many, wait until all of them are acknowledged, see how it went."""
        reader = threading.Thread(target=self._read, args=(size,))
        reader.start()
        before = TcpInfo.of(self.source).bytes_acked
        self.source.sendall(bytes(size))
        reader.join()
        while (info := TcpInfo.of(self.source)).bytes_acked < before + size:
            time.sleep(0.001)
        return info

    def _read(self, left: int) -> None:
        while left and (data := self.target.recv(min(left, 65536))):
            left -= len(data)


def link_drops(lab: Lab) -> int:
    """What the server's device dropped by itself, of which the relay knows nothing."""
    done = subprocess.run(
        [*lab.inside("server"), "ip", "-s", "link", "show", DEVICE],
        capture_output=True,
        text=True,
        check=True,
    )
    names, values = (line.split() for line in done.stdout.splitlines()[-2:])
    return int(values[names.index("dropped") - 1])


@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_both_ends_use_the_congestion_control_that_was_asked_for(
    open_lab: OpenLab, congestion: str
) -> None:
    with connected(open_lab(congestion=congestion)) as ends:
        for end in ends:
            name = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            assert name.rstrip(b"\0").decode() == congestion


@pytest.mark.alone
def test_a_round_trip_takes_the_delay_of_both_directions(open_lab: OpenLab) -> None:
    lab = open_lab(down=Shape(delay_ns=25 * MS), up=Shape(delay_ns=5 * MS))
    with connected(lab) as (ours, theirs):
        bulk = Bulk(ours, theirs)
        for _ in range(10):
            info = bulk.send(1)
        assert 30 * MS <= info.min_rtt_ns < 33 * MS
        lab.change("up", delay_ns=25 * MS)
        for _ in range(40):
            info = bulk.send(1)
        assert 48 * MS <= info.rtt_ns < 60 * MS


@pytest.mark.parametrize(("loss", "size"), [(0.01, 1_500_000), (0.15, 250_000)])
def test_what_the_relay_loses_is_what_tcp_sends_again(
    open_lab: OpenLab, loss: float, size: int
) -> None:
    lab = open_lab(down=Shape(delay_ns=2 * MS, loss=loss), up=Shape(delay_ns=2 * MS))
    with connected(lab) as (ours, theirs):
        info = Bulk(ours, theirs).send(size)
        statistics = lab.statistics("down")
    assert statistics.lost > 0
    assert statistics.lost == pytest.approx(loss * statistics.packets, rel=0.5)
    # Each was sent again, as often as it was lost, and besides them only what the
    # client had already.
    again = info.retrans
    assert statistics.lost <= again + 1  # one may have been an acknowledgement
    assert again - statistics.lost <= info.dsack_dups + 2
    assert link_drops(lab) == 0


def test_without_loss_nothing_is_sent_again(open_lab: OpenLab) -> None:
    lab = open_lab(down=Shape(delay_ns=5 * MS), up=Shape(delay_ns=5 * MS))
    with connected(lab) as (ours, theirs):
        info = Bulk(ours, theirs).send(1_500_000)
    assert info.retrans == info.dsack_dups
    assert link_drops(lab) == 0


def test_what_finds_no_room_in_the_queue_is_sent_again(open_lab: OpenLab) -> None:
    narrow = Shape(delay_ns=5 * MS, rate_bps=1_000_000, queue_bytes=20_000)
    lab = open_lab(down=narrow, up=Shape(delay_ns=5 * MS))
    with connected(lab) as (ours, theirs):
        info = Bulk(ours, theirs).send(1_000_000)
    drops = lab.statistics("down").queue_drops
    assert drops > 0
    assert drops <= info.retrans <= drops + info.dsack_dups + 2


@pytest.mark.alone
def test_a_link_carries_its_rate_and_a_new_one_at_once(open_lab: OpenLab) -> None:
    lab = open_lab(down=Shape(delay_ns=2 * MS, rate_bps=500_000, queue_bytes=30_000))
    with connected(lab) as (ours, theirs):
        reader = threading.Thread(target=Bulk(ours, theirs).send, args=(1_500_000,))
        reader.start()
        rates = []
        for rate_bps in (500_000, 1_000_000):
            lab.change("down", rate_bps=rate_bps)
            time.sleep(0.2)  # the window follows
            before = lab.statistics("down").delivered_bytes
            time.sleep(0.5)
            rates.append(2 * (lab.statistics("down").delivered_bytes - before))
        reader.join()
    assert rates == [pytest.approx(500_000, rel=0.1), pytest.approx(1e6, rel=0.1)]


def test_marks_are_echoed_and_slow_the_sender_without_loss(open_lab: OpenLab) -> None:
    lab = open_lab(down=Shape(delay_ns=2 * MS), up=Shape(delay_ns=2 * MS))
    with connected(lab) as (ours, theirs):
        bulk = Bulk(ours, theirs)
        assert bulk.send(500_000).delivered_ce == 0
        lab.change("down", ce=0.05)
        first = bulk.send(500_000)
        second = bulk.send(500_000)
        lab.change("down", ce=0.0)
    assert 0 < first.delivered_ce < second.delivered_ce
    assert second.retrans == second.dsack_dups
    assert lab.statistics("down").marked > 0
    assert lab.counters("server")["TCPDeliveredCE"] >= second.delivered_ce


def test_connections_that_do_not_ask_for_marks_get_none(open_lab: OpenLab) -> None:
    lab = open_lab(ecn=0, down=Shape(ce=1.0))
    with connected(lab) as (ours, theirs):
        assert Bulk(ours, theirs).send(200_000).delivered_ce == 0
    assert lab.statistics("down").marked == 0


def test_loss_of_the_way_back_is_not_loss_of_the_way_there(open_lab: OpenLab) -> None:
    lab = open_lab(down=Shape(delay_ns=2 * MS), up=Shape(delay_ns=2 * MS, loss=0.1))
    with connected(lab) as (ours, theirs):
        Bulk(ours, theirs).send(1_000_000)
    assert lab.statistics("up").lost > 0
    assert lab.statistics("down").lost == 0


def arrived(lab: Lab) -> list[int]:
    """Which of 300 datagrams come through a link that loses a fifth."""
    with (
        lab.open_socket("server", socket.SOCK_DGRAM) as source,
        lab.open_socket("client", socket.SOCK_DGRAM) as target,
    ):
        target.bind(("198.19.0.1", 0))
        for number in range(300):
            source.sendto(number.to_bytes(2, "big"), target.getsockname())
        while lab.statistics("down").packets < 300:
            pass
        target.settimeout(SECONDS)
        lab.change("down", loss=0.0)
        source.sendto(b"end", target.getsockname())
        found = iter(lambda: target.recv(10), b"end")
        return [int.from_bytes(data, "big") for data in found]


def test_one_seed_loses_the_same_packets_again(open_lab: OpenLab) -> None:
    lossy = Shape(loss=0.2)
    first, again, other = (
        arrived(open_lab(seed=seed, down=lossy)) for seed in (5, 5, 6)
    )
    assert 200 < len(first) < 280
    assert first == again
    assert first != other


def test_there_are_many_clients_with_addresses_of_their_own(open_lab: OpenLab) -> None:
    lab = open_lab()
    for number, host in ((0, "198.19.0.1"), (254, "198.19.0.255")):
        with connected(lab, number) as (ours, theirs):
            assert ours.getpeername()[0] == host
            Bulk(ours, theirs).send(1)


def test_networks_side_by_side_do_not_meet(open_lab: OpenLab) -> None:
    with connected(open_lab()) as (ours, theirs):
        other = open_lab(down=Shape(loss=1.0))
        Bulk(ours, theirs).send(1000)
        other.change("down", loss=0.0)
        with pytest.raises(ConnectionRefusedError):
            other.connect(ours.getsockname()[1])


def test_a_wrong_change_is_refused_and_the_lab_goes_on(open_lab: OpenLab) -> None:
    lab = open_lab()
    with pytest.raises(ValueError, match="loss"):
        lab.change("down", loss=1.5)
    with pytest.raises(PerfError, match="east"):
        lab.statistics("east")  # type: ignore[arg-type]
    with connected(lab) as (ours, theirs):
        Bulk(ours, theirs).send(1000)


def test_why_there_can_be_no_network_is_said(
    open_lab: OpenLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_lab()  # or skip
    with (
        pytest.raises(LabUnavailableError, match="congestion"),
        opened(congestion="nonesuch"),
    ):
        pass
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabUnavailableError, match="nsenter"), opened():
        pass


HOLD = """
import sys
from perf.lab.network import opened
with opened() as lab:
    print(lab.inside("server")[-2], flush=True)
    sys.stdin.read()
"""


def test_the_network_ends_with_who_made_it_however_that_ends(open_lab: OpenLab) -> None:
    open_lab()  # or skip
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline().split("/")[2])
        relay = os.pidfd_open(pid)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        ended, _, _ = select.select([relay], [], [], SECONDS)
        os.close(relay)
    assert ended
