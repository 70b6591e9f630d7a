"""One direction of a link: loss, marks, a queue with a bound, a rate, a delay.

It decides only: packets and the time come in, packets that have arrived go out. Chance
is drawn for every packet in turn, whether it is needed or not: with one seed the n-th
packet has one fate, however fast packets come and whatever is changed meanwhile.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from perf.lab.ipv4 import marked

SECOND_NS = 1_000_000_000
QUEUE_BYTES_DEFAULT = 1 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """What a link is like. Bytes count with the headers of IP.

    Attributes:
        delay_ns: from the end of sending to arrival.
        rate_bps: bytes per second; 0: as fast as they come.
        queue_bytes: what may wait for the rate, with the packet that is being sent;
            who finds no room is dropped. One packet always has room.
        loss: the share of packets that are lost before the queue, 0 to 1.
        ce: the share of packets that get a congestion mark, if they may have one.
        mark_above_ns: who waited longer than that for the rate gets one, too; 0: none.

    Raises:
        ValueError: one of them is out of its bounds.
    """

    delay_ns: int = 0
    rate_bps: int = 0
    queue_bytes: int = QUEUE_BYTES_DEFAULT
    loss: float = 0.0
    ce: float = 0.0
    mark_above_ns: int = 0

    def __post_init__(self) -> None:
        for name in ("delay_ns", "rate_bps", "queue_bytes", "mark_above_ns"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is below 0")
        for name in ("loss", "ce"):
            if not 0 <= getattr(self, name) <= 1:  # NaN, too
                raise ValueError(f"{name} is not between 0 and 1")


@dataclass(slots=True)
class Statistics:
    """What became of the packets since the start.

    Every packet is lost, dropped, delivered, or still on its way. ``late_max_ns`` is
    how much later than due one was handed over: how far the model can be trusted on
    a busy machine.
    """

    packets: int = 0
    packet_bytes: int = 0
    lost: int = 0
    queue_drops: int = 0
    marked: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    queued_bytes: int = 0
    late_max_ns: int = 0

    def on_its_way(self) -> int:
        return self.packets - self.lost - self.queue_drops - self.delivered


class Link:
    """``seed`` decides about loss and marks, and nothing else does."""

    def __init__(self, shape: Shape, seed: int | str) -> None:
        self.statistics = Statistics()
        self._shape = shape
        self._loss, self._ce = Random(f"loss {seed}"), Random(f"ce {seed}")
        self._queue: deque[tuple[int, bytes]] = deque()  # since when, packet
        self._flying: deque[tuple[int, bytes]] = deque()  # arrival, packet
        self._free_ns = 0  # when the sender is done with what left the queue last

    def change(self, shape: Shape, now_ns: int) -> None:
        """From ``now_ns`` on. What has left arrives when it would have; what waits
        leaves at the new rate, and its first packet begins anew."""
        self._serve(now_ns)
        self._shape = shape
        self._free_ns = now_ns
        self._serve(now_ns)

    def offer(self, packet: bytes, now_ns: int) -> None:
        """Take an IPv4 packet; ``now_ns`` never goes back."""
        counts, shape = self.statistics, self._shape
        counts.packets += 1
        counts.packet_bytes += len(packet)
        is_lost = self._loss.random() < shape.loss
        is_marked = self._ce.random() < shape.ce
        self._serve(now_ns)
        if is_lost:
            counts.lost += 1
        elif counts.queued_bytes + len(packet) > shape.queue_bytes and self._queue:
            counts.queue_drops += 1
        else:
            counts.queued_bytes += len(packet)
            self._queue.append((now_ns, self._mark(packet) if is_marked else packet))
            self._serve(now_ns)

    def due(self, now_ns: int) -> Iterator[bytes]:
        """Packets that have arrived, in the order in which they were sent."""
        self._serve(now_ns)
        counts, flying = self.statistics, self._flying
        while flying and flying[0][0] <= now_ns:
            arrival_ns, packet = flying.popleft()
            counts.delivered += 1
            counts.delivered_bytes += len(packet)
            counts.late_max_ns = max(counts.late_max_ns, now_ns - arrival_ns)
            yield packet

    def next_ns(self) -> float:
        """When to ask again if nothing is offered; infinite when nothing is inside."""
        arrival_ns = self._flying[0][0] if self._flying else math.inf
        return min(arrival_ns, self._sent_ns() if self._queue else math.inf)

    def _sent_ns(self) -> int:
        """When the first in the queue will have been sent."""
        since_ns, packet = self._queue[0]
        begin_ns = max(since_ns, self._free_ns)
        rate_bps = self._shape.rate_bps
        return begin_ns + (len(packet) * SECOND_NS // rate_bps if rate_bps else 0)

    def _serve(self, now_ns: int) -> None:
        """Let leave what has been sent by now."""
        while self._queue and (sent_ns := self._sent_ns()) <= now_ns:
            since_ns, packet = self._queue.popleft()
            self.statistics.queued_bytes -= len(packet)
            if 0 < self._shape.mark_above_ns < sent_ns - since_ns:
                packet = self._mark(packet)
            self._free_ns = sent_ns
            arrival_ns = sent_ns + self._shape.delay_ns
            if self._flying:  # a delay that shrank does not let packets overtake
                arrival_ns = max(arrival_ns, self._flying[-1][0])
            self._flying.append((arrival_ns, packet))

    def _mark(self, packet: bytes) -> bytes:
        changed = marked(packet)
        if changed is None:
            return packet
        self.statistics.marked += 1
        return changed
