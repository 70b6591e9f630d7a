"""What nodes of the tree are allowed, as the engine takes it: plain numbers."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

DEFAULT_WEIGHT = 100
MAX_WEIGHT = 10_000
UNLIMITED = 0  # a rate that is no limit

Source = Literal["default", "file", "api"]  # who said what a node is allowed
Cap = Literal["schedule", "quota", "policy"]
Mode = Literal["off", "adaptive", "full"]  # which controllers follow a client
ModeSaid = Literal[Mode, "none"]  # in a command; none takes back what was said before
MODES: tuple[Mode, ...] = get_args(Mode)  # by the engine's number

# What keeps a node from more; the order is the engine's.
Limiter = Literal[
    "none",
    "client",
    "group",
    "server",
    "peer",
    "disk",
    "schedule",
    "quota",
    "adaptive",
    "controller",
    "breaker",
    "policy",
]
BreakerState = Literal["closed", "degraded", "half_open", "frozen"]


class Allowance(NamedTuple):
    """Of the server, a group or a client; rates in bytes per second.

    Args:
        rate_bps: its own limit; 0: none.
        ceil_bps: so much with what it may borrow of its parent; 0: as ``rate_bps``.
        min_bps: guaranteed.
        weight: 1 to ``MAX_WEIGHT``, its share of what is left.
        burst_bytes: what its bucket holds; 0: two seconds of the rate.
        peak_bps: how fast a full bucket drains; 0: 1.12 times the rate.
        mode: of clients only: ``adaptive`` has an adaptive target, ``full`` also the
            controller and the breaker.
    """

    rate_bps: int = UNLIMITED
    ceil_bps: int = 0
    min_bps: int = 0
    weight: int = DEFAULT_WEIGHT
    burst_bytes: int = 0
    peak_bps: int = 0
    mode: Mode = "off"


class ClientEntry(NamedTuple):
    """A client of the configuration; without ``allowed`` it is of the default class.

    Args:
        token_digests: SHA-256 of its bearer tokens, 32 bytes each.
    """

    client_id: str
    allowed: Allowance | None = None
    group: str | None = None
    token_digests: Sequence[bytes] = ()


class GroupEntry(NamedTuple):
    name: str
    allowed: Allowance
