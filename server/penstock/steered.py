"""What the controllers changed, or was taken from them: counted, logged, and told to
those who listen."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.durations import SECOND_NS
from penstock.events import EventLog, Scalar
from penstock.rates import format_rate

if TYPE_CHECKING:
    from penstock._engine import ClientRow, FeedChange

log = logging.getLogger(__name__)

# Under loss the controllers of many clients cut at every RTT: of all together, so many
# are told in a second, so that what else happens stays in the ring for minutes. All are
# counted.
CUTS_TOLD_MAX = 5
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
    ("breaker", "released"),
)


class Steered:
    """
    Attributes:
        counts: how often, by kind and change.
    """

    def __init__(
        self, events: EventLog, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._events = events
        self._clock_ns = clock_ns
        self._second = 0
        self._cuts_told = 0  # in it
        self.counts: Counter[tuple[str, str]] = Counter(dict.fromkeys(CHANGES, 0))

    def note(self, changes: "Sequence[FeedChange]") -> None:
        """Those of one control pass."""
        for change in changes:
            self.counts[change.kind, change.change] += 1
            if change.kind == "breaker":
                _log_breaker(change)
            if change.kind != "controller" or self._may_tell_cut():
                self._publish(change)

    def released(self, client: "ClientRow") -> None:
        """Its breaker, by who said what it may have; ``client`` is as it was before."""
        self.counts["breaker", "released"] += 1
        log.info("client %r: breaker released", client.client_id)
        self._events.publish(
            "breaker",
            f"client:{client.client_id}",
            change="released",
            before_bps=client.breaker_bps or None,
            after_bps=None,
            rate_bps=client.rate_bps or None,
            mean_bps=client.mean_bps,
        )

    def _may_tell_cut(self) -> bool:
        second = self._clock_ns() // SECOND_NS
        if second != self._second:
            self._second, self._cuts_told = second, 0
        self._cuts_told += 1
        return self._cuts_told <= CUTS_TOLD_MAX

    def _publish(self, change: "FeedChange") -> None:
        self._events.publish(
            change.kind, f"client:{change.client_id}", **_numbers(change)
        )


def _numbers(change: "FeedChange") -> dict[str, Scalar]:
    """What was changed, and what it follows from."""
    shown: dict[str, Scalar] = {
        "change": change.change,
        "before_bps": change.before_bps or None,
        "after_bps": change.after_bps or None,
        "rate_bps": change.rate_bps or None,
        "mean_bps": change.mean_bps,
    }
    if change.kind == "breaker":
        shown["loss_ratio"] = change.loss
    elif change.kind == "controller":
        shown |= {
            "srtt_seconds": change.srtt_ns / SECOND_NS,
            "estimate_bps": change.estimate_bps or None,
            "retransmitted": change.retrans,
            "marked": change.marked,
        }
    return shown


def _log_breaker(change: "FeedChange") -> None:
    """Seldom, and worth a look: the cuts of controllers are too many for a log."""
    now = format_rate(change.after_bps) if change.after_bps else "no limit"
    log.log(
        logging.ERROR if change.change == "frozen" else logging.WARNING,
        "client %r: breaker %s, %.0f %% of segments lost, %s from now on",
        change.client_id,
        change.change,
        100 * change.loss,
        now,
    )
