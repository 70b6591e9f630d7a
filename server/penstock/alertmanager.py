"""What Alertmanager's webhook sends, version 4 of it, as far as it is used here.

A foreign format: fields that are not known are ignored, those that are used are taken
at their word only.
"""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from penstock.enforcement import Alert

FINGERPRINT_MAX = 64  # Alertmanager's have 16 characters
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def _rfc_3339(value: object) -> object:
    """Pydantic takes more than that: a number, for one, as seconds since 1970."""
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        return value
    raise ValueError("not a date and time of RFC 3339")


def _known(value: datetime) -> datetime | None:
    """Go's zero time stands for none: the first second of the year 1."""
    return value if value.year > 1 else None


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc_3339), Field(strict=False)]
Fingerprint = Annotated[str, Field(min_length=1, max_length=FINGERPRINT_MAX)]


class SaidAlert(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Fingerprint
    starts_at: Moment = Field(alias="startsAt")
    ends_at: Annotated[Moment, AfterValidator(_known)] | None = Field(
        None, alias="endsAt"
    )

    def alert(self) -> Alert:
        fires = self.status == "firing"
        return Alert(self.fingerprint, self.labels, self.starts_at, self.ends_at, fires)


class Notification(BaseModel):
    """Of a group of alerts; ``truncated`` more did not fit."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal["4"]
    alerts: list[SaidAlert]
    truncated: Annotated[int, Field(ge=0)] = Field(0, alias="truncatedAlerts")
