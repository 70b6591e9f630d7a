"""Caps: what schedules and quotas allow a client, a group or the server for now.

A cap is one more term of the minimum that a node runs at. It never changes what is
configured: when the reason for it ends, the node is as it was.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol, Self

from penstock.allowances import Cap as Cause
from penstock.clientids import canonical_client_id, check_client_id
from penstock.events import EventLog

log = logging.getLogger(__name__)

NO_CAP = 0  # the engine's word for it
# Changes of one moment that are told one by one: when a month ends, thousands of
# clients are slow no longer, and who watches would see nothing else.
TOLD_MAX = 100
Kind = Literal["client", "group", "default", "server"]
TARGET_EXAMPLES = 'write it like "client:NAME", "group:NAME", "default" or "server"'


class Target(NamedTuple):
    """What a cap applies to. ``default``: each client that has no limit of its own."""

    kind: Kind
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError: not a target; the message shows valid ones."""
        if text == "default":
            return cls("default")
        if text == "server":
            return cls("server")
        kind, _, name = text.partition(":")
        if kind == "client":
            return cls("client", canonical_client_id(check_client_id(name)))
        if kind == "group":
            return cls("group", check_client_id(name))
        raise ValueError(f"{text!r} names nothing; {TARGET_EXAMPLES}")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


class Cap(NamedTuple):
    """Ordered by rate."""

    rate_bps: int
    cause: Cause


Caps = Mapping[Target, Cap]
NOT_CAPPED = Cap(NO_CAP, "schedule")


class CappedTable(Protocol):
    """What of ``ClientTable`` caps end in; 0 bytes per second: none."""

    def find(self, client_id: str) -> object | None: ...
    def set_cap(self, client_id: str, cap_bps: int, by: Cause) -> None: ...
    def set_group_cap(self, name: str, cap_bps: int, by: Cause) -> None:
        """Raises ValueError: there is no such group."""

    def set_default_cap(self, cap_bps: int, by: Cause) -> None: ...
    def set_total_cap(self, cap_bps: int, by: Cause) -> None: ...


def lowest(*several: Caps) -> dict[Target, Cap]:
    """Of each target the lowest cap; among equals, that of the first mapping."""
    found: dict[Target, Cap] = {}
    for caps in several:
        for target, cap in caps.items():
            known = found.get(target)
            if known is None or cap.rate_bps < known.rate_bps:
                found[target] = cap
    return found


class CapBook:
    """Keeps the table's caps as they should be, with a call for each that differs."""

    def __init__(self, table: CappedTable, events: EventLog | None = None) -> None:
        self._table = table
        self._events = events or EventLog()
        self._applied: dict[Target, Cap] = {}
        self.wanted: Caps = {}

    def apply(self, wanted: Caps, *, again: bool = False) -> None:
        """From now on ``wanted`` holds, and no other cap. ``again``: say also what has
        not changed, since the table may have forgotten it."""
        self._tell(self.wanted, wanted)
        self.wanted = wanted
        for target in [t for t in self._applied if t not in wanted]:
            self._set(target, NOT_CAPPED)
        for target, cap in wanted.items():
            if again or self._applied.get(target) != cap:
                self._set(target, cap)

    def check(self, target: Target, cap_bps: int) -> None:
        """The table has ``cap_bps`` for ``target``: a row that was recycled, or came
        only now, lacks what was said before. Set it again."""
        cap = self.wanted.get(target, NOT_CAPPED)
        if cap.rate_bps != cap_bps:
            self._set(target, cap)

    def _tell(self, before: Caps, wanted: Caps) -> None:
        untold: Counter[str] = Counter()
        told = 0
        for target in dict.fromkeys([*before, *wanted]):
            cap = wanted.get(target)
            if before.get(target) == cap:
                continue
            # Of policies, too, whose names are told by who applies them: which are
            # active does not say what is the lowest, nor what it comes to.
            cause = (cap or before[target]).cause
            if told == TOLD_MAX:
                untold[cause] += 1
                continue
            told += 1
            self._events.publish(
                cause, str(target), cap_bps=cap.rate_bps if cap else None
            )
        for why, count in untold.items():
            self._events.publish(why, "server", others=count)

    def _set(self, target: Target, cap: Cap) -> None:
        if not self._call(target, cap):
            self._applied.pop(target, None)
            return
        if cap.rate_bps == NO_CAP:
            self._applied.pop(target, None)
        else:
            self._applied[target] = cap
        log.debug("cap of %s: %d bytes/s by %s", target, *cap)

    def _call(self, target: Target, cap: Cap) -> bool:
        """False when there is nobody to be told; see ``check``."""
        if target.kind == "client":
            # ``set_cap`` would make a row for whoever was here before a restart; and a
            # row may be recycled between the two, in a table that is full.
            try:
                if self._table.find(target.name) is None:
                    return False
                self._table.set_cap(target.name, *cap)
            except (ValueError, OverflowError) as error:
                log.warning("no cap for client %r: %s", target.name, error)
                return False
        elif target.kind == "group":
            try:
                self._table.set_group_cap(target.name, *cap)
            except ValueError:  # it was taken away over the API
                return False
        elif target.kind == "default":
            self._table.set_default_cap(*cap)
        else:
            self._table.set_total_cap(*cap)
        return True
