"""Simulated engines and clients around the real shaper, on a manual clock. Clients read
as fast as they are let; nothing is sent and nothing sleeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from penstock import _testing

S = 10**9
MS = 10**6
MB = 10**6
KIB = 1024
PASS_NS = 50 * MS
SERVER = 0
SLICES = 100  # of a second, in which grants are counted


class World:
    """A table, its engines, and who downloads what.

    Attributes:
        sent: bytes by client.
        slices: bytes by client and hundredth of a second.
    """

    def __init__(self, clients: int, *, engines: int = 1, transfers: int = 64) -> None:
        self.table = _testing.Simulation(clients, engines, transfers)
        self.rows = [self.table.add_client() for _ in range(clients)]
        self.engines = [self.table.engine(i) for i in range(engines)]
        self.owner: dict[tuple[int, int], int] = {}
        self.used = [0] * engines
        self.sent: dict[int, int] = defaultdict(int)
        self.slices: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.next_pass = self.table.now_ns
        self.begin = self.table.now_ns
        self.sharing = True

    @property
    def now(self) -> int:
        return self.table.now_ns

    def download(self, row: int, connections: int = 1, total: int = 1 << 40) -> None:
        """Spread over the engines."""
        for _ in range(connections):
            at = min(range(len(self.engines)), key=lambda i: self.used[i])
            number = self.used[at]
            self.used[at] += 1
            self.engines[at].assign(number, row, total)
            self.owner[at, number] = row
            self._go_on(at, number)

    def stop(self, row: int) -> None:
        for (at, number), owner in list(self.owner.items()):
            if owner == row:
                self.engines[at].cancel(number)
                del self.owner[at, number]

    def run(self, seconds: float) -> None:
        end = self.now + round(seconds * S)
        while self.now < end:
            due = self.next_pass if self.sharing else end
            self.table.skip(min(end, max(due, self.now)))
            for at, engine in enumerate(self.engines):
                for number, n in engine.granted():
                    self._use(at, number, n)
                    self._go_on(at, number)
            if self.sharing and self.now >= self.next_pass:
                self.table.share()
                self.next_pass = self.now + PASS_NS
                for at, engine in enumerate(self.engines):
                    for number, n in engine.granted():
                        self._use(at, number, n)
                        self._go_on(at, number)

    def _go_on(self, at: int, number: int) -> None:
        """Take and send until refused; an unlimited one has a turn of 200 grants."""
        for _ in range(200):
            n = self.engines[at].ask(number)
            if n == 0:
                return
            self._use(at, number, n)

    def _use(self, at: int, number: int, n: int) -> None:
        row = self.owner.get((at, number))
        if row is None:
            return
        self.engines[at].settle(number, n)
        self.sent[row] += n
        self.slices[row][self.now * SLICES // S] += n

    def rates(self, rows: Iterable[int], seconds: float) -> list[float]:
        """Bytes per second of each over the next ``seconds``."""
        before = {row: self.sent[row] for row in rows}
        self.run(seconds)
        return [(self.sent[row] - n) / seconds for row, n in before.items()]
