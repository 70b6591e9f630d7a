"""What the admin API takes and gives."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from penstock.clientids import MAX_CLIENT_ID_BYTES, check_client_id
from penstock.rates import MAX_RATE_BPS


def _whole_number(value: object) -> object:
    """JSON has one kind of number: 15.0 is as good as 15 (RFC 8259, section 6)."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError("NaN and infinity are not a number of bytes per second")
    return int(value) if value.is_integer() else value


class LimitChange(BaseModel):
    """Limit one client from now on, downloads in flight included."""

    model_config = ConfigDict(strict=True, extra="forbid")

    client_id: Annotated[
        str,
        Field(min_length=1, max_length=MAX_CLIENT_ID_BYTES),
        AfterValidator(check_client_id),
    ]
    target_bps: Annotated[
        int,
        Field(ge=1, le=MAX_RATE_BPS, description="bytes per second"),
        BeforeValidator(_whole_number),
    ]


class LimitChanged(BaseModel):
    client_id: str
    target_bps: int
    config_version: int


class Problem(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class Refused(BaseModel):
    """Nothing has changed; every problem with its place."""

    detail: list[Problem]


class Reason(BaseModel):
    detail: str


class ConfigView(BaseModel):
    config_version: int
    settings: dict[str, Any]


class ClientView(BaseModel):
    client_id: str
    target_bps: int | None = Field(description="bytes per second; null: no limit")
    source: Literal["default", "file", "api"]
    bytes_total: int
    requests_total: int
    connections: int
    transfers: int
    parked: int
    fill_bytes: int = Field(description="tokens in the bucket; negative: debt")
    mean_bps: int = Field(
        description="bytes per second over the last ten complete seconds"
    )
    last_active_seconds_ago: float | None = Field(description="null: never")


class ClientsView(BaseModel):
    clients: list[ClientView]
    total_rows: int
    row_limit: int


class ProcessView(BaseModel):
    pid: int
    open_fds: int
    rss_bytes: int


class StatusView(BaseModel):
    state: Literal["starting", "serving", "draining"]
    version: str
    uptime_seconds: float
    config_version: int
    process: ProcessView
    engines: list[dict[str, Any]]
