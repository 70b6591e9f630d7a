"""What the controllers changed: counted, logged, and told to those who listen."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.rates import format_rate

if TYPE_CHECKING:
    from penstock._engine import FeedChange

log = logging.getLogger(__name__)

# Every change that there is: each has its series from the start.
CHANGES = (
    ("adaptive", "raised"),
    ("adaptive", "lowered"),
    ("adaptive", "reset"),
    ("controller", "loss"),
    ("controller", "ce"),
    ("breaker", "degraded"),
    ("breaker", "frozen"),
    ("breaker", "thawed"),
    ("breaker", "half_open"),
    ("breaker", "step"),
    ("breaker", "closed"),
)


class Steered:
    """
    Attributes:
        counts: how often, by kind and change.
        tell: called with every change.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter(dict.fromkeys(CHANGES, 0))
        self.tell: Callable[[FeedChange], None] | None = None

    def note(self, changes: "Sequence[FeedChange]") -> None:
        for change in changes:
            self.counts[change.kind, change.change] += 1
            if change.kind == "breaker":
                _log_breaker(change)
            if self.tell is not None:
                self.tell(change)


def _log_breaker(change: "FeedChange") -> None:
    """Seldom, and somebody should look: the controller's cuts are too many for a log."""
    now = format_rate(change.after_bps) if change.after_bps else "no limit"
    log.log(
        logging.ERROR if change.change == "frozen" else logging.WARNING,
        "client %r: breaker %s, %.0f %% of segments lost, %s from now on",
        change.client_id,
        change.change,
        100 * change.loss,
        now,
    )
