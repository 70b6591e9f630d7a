"""The control pass of the tree, as a Trio task."""

import time

import trio

from penstock.facade import Clients

# What a tenant leaves is lent after one pass or two, and taken back as fast.
PASS_PERIOD_S = 0.05


class Sharing:
    """Calls ``ClientTable.share`` for as long as the server runs.

    Attributes:
        passes: how often.
        busy_ns: how long all passes took.
        late_ns: how much later than due the latest one began.
        active: clients that were active before the last pass.
        backlogged: of them, those who wanted more than they got.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.passes = 0
        self.busy_ns = 0
        self.late_ns = 0
        self.active = 0
        self.backlogged = 0

    async def run(self) -> None:
        """Until cancelled. A pass that is late is not made up for."""
        due = trio.current_time()
        while True:
            due = max(due + PASS_PERIOD_S, trio.current_time())
            await trio.sleep_until(due)
            self.late_ns = round((trio.current_time() - due) * 1e9)
            self.pass_once()

    def pass_once(self) -> None:
        began_ns = time.monotonic_ns()
        done = self._clients.share()
        self.busy_ns += time.monotonic_ns() - began_ns
        self.passes += 1
        self.active = done.active
        self.backlogged = done.backlogged
