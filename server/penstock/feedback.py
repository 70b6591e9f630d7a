"""``[feedback]``: the thresholds of the rules by which limits adapt, cut and break."""

import math
from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from penstock.durations import SECOND_NS, format_duration
from penstock.fieldtypes import Count, Duration, between, spelled

SEGMENTS_MAX = 1_000_000
SAMPLES_MAX = 1000
WAIT_MAX_NS = 86400 * SECOND_NS
CEIL_MOST = 1.0  # nothing raises a client above what is configured


def _share(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
        if math.isfinite(share) and 0 < share <= 1:
            return share
    raise ValueError(f"{spelled(value)} is not a part from above 0 to 1, like 0.15")


Share = Annotated[float, BeforeValidator(_share)]
Wait = Annotated[Duration, between(SECOND_NS, WAIT_MAX_NS, format_duration)]


class FeedbackRules(NamedTuple):
    """What the engine takes. Shares are of 1, times in nanoseconds."""

    adaptive_floor: float
    controller_loss: float
    controller_ecn: float
    breaker_loss: float
    breaker_clean_loss: float
    breaker_segments: int
    breaker_samples: int
    breaker_rate: float
    breaker_clean_ns: int
    breaker_freeze_ns: int


class FeedbackSettings(BaseModel):
    """
    Attributes:
        adaptive_floor: of the rate: no adaptive target is below.
        controller_loss: what a loss leaves of the controller's window.
        controller_ecn: what three rounds with congestion marks leave of it.
        breaker_loss: share of segments lost, from which on a sample is bad.
        breaker_clean_loss: and below which it is clean.
        breaker_segments: samples with fewer do not count.
        breaker_samples: so many bad ones on end trip it, so many clean ones pass a
            step of its recovery.
        breaker_rate: of the rate: what a client has while it is degraded.
        breaker_clean_ns: so long without loss before the recovery begins.
        breaker_freeze_ns: how long the third trip in half an hour holds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    adaptive_floor: Share = 0.25
    controller_loss: Share = 0.5
    controller_ecn: Share = 0.3
    breaker_loss: Share = 0.15
    breaker_clean_loss: Share = 0.05
    breaker_segments: Annotated[Count, between(1, SEGMENTS_MAX)] = 50
    breaker_samples: Annotated[Count, between(1, SAMPLES_MAX)] = 5
    breaker_rate: Share = 0.4
    breaker_clean_ns: Wait = Field(120 * SECOND_NS, alias="breaker_clean")
    breaker_freeze_ns: Wait = Field(300 * SECOND_NS, alias="breaker_freeze")

    @model_validator(mode="after")
    def _clean_is_less_than_bad(self) -> "FeedbackSettings":
        if self.breaker_clean_loss > self.breaker_loss:
            raise ValueError(
                f"breaker_clean_loss {self.breaker_clean_loss:g} is above "
                f"breaker_loss {self.breaker_loss:g}: a sample would be both"
            )
        return self

    def rules(self) -> FeedbackRules:
        return FeedbackRules(*(getattr(self, n) for n in FeedbackRules._fields))
