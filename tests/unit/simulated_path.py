"""A network path under the controller, as a fluid on a manual clock: a bottleneck with
a queue that drops what it cannot hold and marks what stands deep in it. The client
reads as fast as it is let; what a real TCP would do by itself is left out, so the
controller is all that keeps it from overload."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from penstock import _testing

S = 10**9
MS = 10**6
MSS = 1448
STEP_NS = 2 * MS
PASS_NS = 50 * MS
LIMITED_SHARE = 0.95  # of what the controller lets through: it bound


@dataclass
class Counts:
    """What a sender has learned so far; differences are what a round showed."""

    sent: float = 0
    acked: float = 0
    dropped: float = 0
    marked: float = 0


class Path:
    """Attributes:
    capacity: of the bottleneck; may be changed.
    demand: what the client reads when nothing holds it.
    random_loss: of the bytes, whatever the rate.
    delivered: bytes by second.
    rates: the controller's limit at each pass; 0: none.
    """

    def __init__(
        self,
        capacity_bps: float,
        rtt_ms: int,
        *,
        demand_bps: float = 1e9,
        buffer_rtts: float = 1,
        marks: bool = False,
        random_loss: float = 0,
        asked_ms: int = 0,
    ) -> None:
        self.capacity = capacity_bps
        self.demand = demand_bps
        self.rtt = rtt_ms * MS
        self.buffer = max(buffer_rtts * capacity_bps * self.rtt / S, 4 * MSS)
        self.marks = marks
        self.random_loss = random_loss
        self.asked_every = asked_ms * MS
        self.asked_ns = 0
        self.now = 100 * S
        self.queue = 0.0
        self.under_way: deque[tuple[int, Counts]] = deque()
        self.counts = Counts()  # as the sender knows them
        self.heard = Counts()  # as it was asked last
        self.seen = Counts()  # by the last round
        self.sampled = Counts()  # by the last sample of the estimator
        self.sent = self.counts.sent
        self.seen_ns = self.now
        self.controller = _testing.Controller(self.now)
        self.estimate = _testing.PathEstimate(self.now)
        self.delivered: list[float] = []
        self.rates: list[int] = []
        self.changes: list[str] = []

    @property
    def srtt(self) -> int:
        return self.rtt + round(self.queue / self.capacity * S)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * S / PASS_NS)):
            for _ in range(PASS_NS // STEP_NS):
                self._step()
            self._pass()

    def mean_bps(self, seconds: int) -> float:
        """Delivered, over the last ``seconds``."""
        return sum(self.delivered[-seconds * S // PASS_NS :]) / seconds

    def _step(self) -> None:
        """Into the queue, out of it, and what the sender is told of it an RTT later."""
        self.now += STEP_NS
        limit = self.controller.rate_bps
        sent = min(self.demand, limit or self.demand) * STEP_NS / S
        lost = sent * self.random_loss
        self.queue += sent - lost
        out = min(self.queue, self.capacity * STEP_NS / S)
        self.queue -= out
        overflow = max(self.queue - self.buffer, 0.0)
        self.queue -= overflow
        marked = out if self.marks and self.queue > self.buffer / 4 else 0.0
        told = Counts(sent, out, lost + overflow, marked)
        self.under_way.append((self.now + self.rtt, told))
        while self.under_way[0][0] <= self.now:
            self._learn(self.under_way.popleft()[1])

    def _learn(self, told: Counts) -> None:
        self.counts.sent += told.sent
        self.counts.acked += told.acked
        self.counts.dropped += told.dropped
        self.counts.marked += told.marked

    def _limited(self, sent: float, elapsed_ns: int) -> bool:
        limit = self.controller.rate_bps
        return bool(limit) and sent >= LIMITED_SHARE * limit * elapsed_ns / S

    def _pass(self) -> None:
        """What the control pass does, twenty times a second."""
        before = sum(self.delivered)
        self.delivered.append(self.counts.acked - before)
        if self.now - self.asked_ns >= self.asked_every:
            self.heard = Counts(**vars(self.counts))
            self.asked_ns = self.now
            self._sample()
        elapsed = self.now - self.seen_ns
        if elapsed >= self.srtt and self.heard != self.seen:
            self._round(elapsed)
        self.rates.append(self.controller.rate_bps)

    def _sample(self) -> None:
        new = self.heard
        lost = int(new.dropped / MSS) - int(self.sampled.dropped / MSS)
        self.estimate.sample(
            self.now,
            round(new.acked - self.sampled.acked),
            self.srtt,
            self.srtt,
            lost,
            self.queue == 0,  # the path did not hold it
        )
        self.sampled = Counts(**vars(new))

    def _round(self, elapsed: int) -> None:
        new, seen = self.heard, self.seen
        change = self.controller.round(
            self.now,
            {
                "elapsed_ns": elapsed,
                "srtt_ns": self.srtt,
                "min_rtt_ns": self.rtt,
                "mss_bytes": MSS,
                "connections": 1,
                "quantum_bytes": _testing.quantum(self.controller.rate_bps),
                "estimate_bps": self.estimate.bps,
                "current_bps": round((new.acked - seen.acked) * S / elapsed),
                "acked_bps": round((new.acked - seen.acked) * S / elapsed),
                "retrans_delta": int(new.dropped / MSS) - int(seen.dropped / MSS),
                "ce_delta": int(new.marked / MSS) - int(seen.marked / MSS),
                "limited": self._limited(self.counts.sent - self.sent, elapsed),
            },
        )
        if change:
            self.changes.append(change)
        self.seen = Counts(**vars(new))
        self.sent = self.counts.sent
        self.seen_ns = self.now
