"""Whose breaker is open, as controllers told: nobody looks at every client for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.allowances import BreakerState
from penstock.facade import Clients

if TYPE_CHECKING:
    from penstock._engine import FeedChange


class OpenBreakers:
    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._told: dict[str, None] = {}  # in the order in which they tripped

    def note(self, changes: "Sequence[FeedChange]") -> None:
        """Those of one control pass."""
        for change in changes:
            if change.kind != "breaker":
                continue
            if change.change == "closed":
                self._told.pop(change.client_id, None)
            else:
                self._told.setdefault(change.client_id)

    def states(self) -> dict[str, BreakerState]:
        """By client id, the one that tripped first before all others; callable from
        any thread. Whose mode has none any more was closed without being told."""
        states: dict[str, BreakerState] = {}
        for client_id in list(self._told):
            row = self._clients.find(client_id)
            if row is not None and row.breaker != "closed":
                states[client_id] = row.breaker
        return states
