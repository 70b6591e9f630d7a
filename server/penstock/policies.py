"""``[policies.NAME]``: caps that hold while an alert fires.

Pure functions of settings and labels; which alerts fire is kept by ``enforcement``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from penstock.allowances import UNLIMITED
from penstock.caps import Cap, Target
from penstock.durations import SECOND_NS, format_duration
from penstock.fieldtypes import Duration, Rate, between, printable, spelled
from penstock.schedules import Targets

POLICIES_MAX = 64  # each looks at every alert
NAME_MAX = 64
ALERT_MAX = 256  # characters of an alert's name, or of a label's value
LABELS_MAX = 32
EXPIRES_MAX_NS = 7 * 24 * 3600 * SECOND_NS
ALERT_LABEL = "alertname"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

RateOf = Callable[[Target], int]  # configured, bytes per second; UNLIMITED: none


def _part(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        part = float(value)
        if 0 < part < 1:  # no NaN is
            return part
    raise ValueError(
        f"{spelled(value)} is not a part of the configured rate: above 0, below 1"
    )


def _label(name: str) -> str:
    if _LABEL.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a label")
    if name == ALERT_LABEL:
        raise ValueError("the name of the alert is said by alert")
    return name


def _few_labels(value: dict[str, str]) -> dict[str, str]:
    if len(value) > LABELS_MAX:
        raise ValueError(f"at most {LABELS_MAX} are possible, not {len(value)}")
    return value


LabelName = Annotated[str, AfterValidator(_label)]
LabelValue = Annotated[str, Field(max_length=ALERT_MAX)]
Labels = Annotated[
    dict[LabelName, LabelValue],
    AfterValidator(_few_labels),
]


class Policy(BaseModel):
    """Caps ``applies_to`` while an alert of this name and these labels fires."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    alert: Annotated[str, printable("the name of an alert", ALERT_MAX)]
    labels: Labels = Field(default_factory=dict)
    applies_to: Targets
    scale: Annotated[float, BeforeValidator(_part)] | None = None
    rate_bps: Rate | None = Field(None, alias="rate")
    expires_ns: Annotated[
        Duration, between(SECOND_NS, EXPIRES_MAX_NS, format_duration)
    ] = Field(3600 * SECOND_NS, alias="expires")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.scale is None) == (self.rate_bps is None):
            raise ValueError(
                "say either rate, or scale, which is a part of the configured rate"
            )
        return self

    def concerns(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with ``labels`` is meant. As in Prometheus, a label that is
        missing is one that is empty."""
        return labels.get(ALERT_LABEL) == self.alert and all(
            labels.get(name, "") == value for name, value in self.labels.items()
        )

    def is_met_as(self, other: "Policy") -> bool:
        """Whether the same alerts are meant."""
        return (self.alert, self.labels) == (other.alert, other.labels)

    def caps(self, rate_of: RateOf) -> dict[Target, Cap]:
        """What holds while it is active; of what has no rate, a part is no cap."""
        found = {target: self.cap_bps(rate_of(target)) for target in self.applies_to}
        return {t: Cap(bps, "policy") for t, bps in found.items() if bps != UNLIMITED}

    def cap_bps(self, configured_bps: int) -> int:
        """Of a node with this rate; UNLIMITED: none."""
        if self.rate_bps is not None:
            return self.rate_bps
        if self.scale is None or configured_bps == UNLIMITED:
            return UNLIMITED
        return max(1, round(configured_bps * self.scale))


def _few(value: dict[str, Policy]) -> dict[str, Policy]:
    if len(value) > POLICIES_MAX:
        raise ValueError(f"at most {POLICIES_MAX} are possible, not {len(value)}")
    return value


Policies = Annotated[
    dict[Annotated[str, printable("a policy's name", NAME_MAX)], Policy],
    AfterValidator(_few),
]
