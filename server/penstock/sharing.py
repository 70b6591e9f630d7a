"""The control pass of the tree and of the controllers, as a Trio task."""

import time

import trio

from penstock.durations import SECOND_NS
from penstock.facade import Clients
from penstock.open_breakers import OpenBreakers
from penstock.steered import Steered

# What a tenant leaves is lent after one pass or two, and taken back as fast.
PASS_PERIOD_S = 0.05
# With tens of thousands of active clients a pass takes milliseconds: then it comes less
# often, so that it never needs more than a twentieth of a core, but still in time.
PASS_PERIOD_MOST_S = 0.2
PASS_SHARE_MOST = 0.05


class Sharing:
    """Calls ``ClientTable.share`` for as long as the server runs.

    Attributes:
        passes: how often.
        busy_ns: how long all passes took.
        late_ns: how much later than due the latest one began.
        active: clients that were active before the last pass.
        backlogged: of them, those who wanted more than they got.
        breakers: whose is open.
    """

    def __init__(self, clients: Clients, steered: Steered) -> None:
        self._clients = clients
        self._steered = steered
        self.breakers = OpenBreakers(clients)
        self.passes = 0
        self.busy_ns = 0
        self.late_ns = 0
        self.active = 0
        self.backlogged = 0

    async def run(self) -> None:
        """Until cancelled. A pass that is late is not made up for."""
        due = trio.current_time()
        took_s = 0.0
        while True:
            period_s = pass_period_s(took_s)
            due += period_s
            if due < trio.current_time():
                due = trio.current_time() + period_s
            await trio.sleep_until(due)
            self.late_ns = round((trio.current_time() - due) * SECOND_NS)
            took_s = self.pass_once() / SECOND_NS

    def pass_once(self) -> int:
        """Returns the nanoseconds that it took."""
        began_ns = time.monotonic_ns()
        done = self._clients.share()
        changes = self._clients.feedback_changes()
        self._steered.note(changes)
        self.breakers.note(changes)
        took_ns = time.monotonic_ns() - began_ns
        self.busy_ns += took_ns
        self.passes += 1
        self.active = done.active
        self.backlogged = done.backlogged
        return took_ns


def pass_period_s(took_s: float) -> float:
    """From the begin of a pass to that of the next, after one that took ``took_s``."""
    return min(max(PASS_PERIOD_S, took_s / PASS_SHARE_MOST), PASS_PERIOD_MOST_S)
