"""What the admin API takes and gives."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from penstock.allowances import (
    DEFAULT_WEIGHT,
    MAX_WEIGHT,
    UNLIMITED,
    BreakerState,
    Limiter,
    Mode,
    Source,
)
from penstock.clientids import (
    MAX_CLIENT_ID_BYTES,
    check_client_id,
    check_group_name,
)
from penstock.enforcement import Result
from penstock.rates import MAX_BURST_BYTES, MAX_RATE_BPS
from penstock.tree import NO_GROUP, Spec

_DEFAULT_BURST = "null: two seconds of rate_bps, of a group a quarter of one"


def _whole_number(value: object) -> object:
    """JSON has one kind of number: 15.0 is as good as 15 (RFC 8259, section 6)."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError("NaN and infinity are not a number of bytes per second")
    return int(value) if value.is_integer() else value


Bps = Annotated[
    int,
    Field(ge=1, le=MAX_RATE_BPS, description="bytes per second"),
    BeforeValidator(_whole_number),
]
MinBps = Annotated[
    int,
    Field(ge=0, le=MAX_RATE_BPS, description="guaranteed bytes per second"),
    BeforeValidator(_whole_number),
]
Weight = Annotated[
    int,
    Field(ge=1, le=MAX_WEIGHT, description="share of what is left"),
    BeforeValidator(_whole_number),
]
Burst = Annotated[int, Field(ge=1, le=MAX_BURST_BYTES), BeforeValidator(_whole_number)]
UploadRate = Annotated[Bps | None, Field(description="of its uploads; null: no limit")]
GroupName = Annotated[
    str,
    Field(min_length=1, max_length=MAX_CLIENT_ID_BYTES),
    AfterValidator(check_group_name),
]
ClientId = Annotated[
    str,
    Field(min_length=1, max_length=MAX_CLIENT_ID_BYTES),
    AfterValidator(check_client_id),
]


def _without_defaults(schema: dict[str, Any]) -> None:
    """What is left out is not what it would be in a default: it is as it was, or as in
    the default class. Whoever generates a client from the schema must not send it."""
    for field in schema["properties"].values():
        field.pop("default", None)


class Change(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra=_without_defaults
    )

    def given(self) -> dict[str, Any]:
        """What was said, as a Spec has it; a group that is null is none."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if "group" in given and given["group"] is None:
            given["group"] = NO_GROUP
        if "upload_rate_bps" in given and given["upload_rate_bps"] is None:
            given["upload_rate_bps"] = UNLIMITED
        return given


class LimitChange(Change):
    """Limit one client from now on, downloads in flight included. What is not given
    stays as it was."""

    client_id: ClientId
    target_bps: Bps = UNLIMITED
    ceil_bps: Bps | None = Field(None, description="null: as target_bps")
    min_bps: MinBps = 0
    weight: Weight = DEFAULT_WEIGHT
    group: GroupName | None = Field(None, description="null: none")
    mode: Mode | None = Field(
        "off",
        description="which controllers follow it; null: those of the default class",
    )
    upload_rate_bps: UploadRate = None

    @model_validator(mode="after")
    def _changes_something(self) -> "LimitChange":
        if self.model_fields_set == {"client_id"}:
            raise ValueError("what is to change is missing, like target_bps")
        return self


class LimitChanged(BaseModel):
    client_id: str
    target_bps: int | None = Field(description="that holds; null: no limit")
    config_version: int


class GroupSpec(Change):
    """All that is said of one group; what is left out has its default."""

    rate_bps: Bps | None = Field(None, description="bytes per second; null: no limit")
    ceil_bps: Bps | None = Field(None, description="null: as rate_bps")
    min_bps: MinBps = 0
    weight: Weight = DEFAULT_WEIGHT
    burst_bytes: Burst | None = Field(None, description=_DEFAULT_BURST)
    peak_bps: Bps | None = Field(None, description="null: 1.12 x rate_bps")

    def spec(self) -> Spec:
        given = self.given()
        if "rate_bps" in given and given["rate_bps"] is None:
            given["rate_bps"] = UNLIMITED
        return Spec(**given)


class ClientSpec(GroupSpec):
    """All that is said of one client; what is left out is as in the default class."""

    group: GroupName | None = Field(None, description="null: none")
    mode: Mode = Field("off", description="which controllers follow it")
    upload_rate_bps: UploadRate = None


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
    settings: dict[str, Any] = Field(description="as the file would say them")
    overrides: dict[str, Any] = Field(
        description="what this API said of clients and groups; it goes before settings"
    )


class AllowanceView(BaseModel):
    """What holds for a node."""

    rate_bps: int | None = Field(description="bytes per second; null: no limit")
    ceil_bps: int | None = Field(description="null: as rate_bps")
    min_bps: int = Field(description="guaranteed")
    weight: int
    burst_bytes: int | None = Field(description=_DEFAULT_BURST)
    peak_bps: int | None = Field(description="null: 1.12 x rate_bps")


class ClientChanged(AllowanceView):
    client_id: str
    mode: Mode
    group: str | None = Field(description="null: directly below the server")
    upload_rate_bps: int | None = Field(description="of its uploads; null: no limit")
    source: Source
    config_version: int


class GroupChanged(AllowanceView):
    name: str
    config_version: int


class GroupDropped(BaseModel):
    name: str
    config_version: int


class Row(AllowanceView):
    """A client or a group: what holds, and what it does."""

    effective_bps: int | None = Field(description="it has now; null: no limit")
    limited_by: Limiter = Field(description="what keeps it from more now")
    cap_bps: int | None = Field(
        description="of a schedule, quota or policy; null: none"
    )
    source: Source = Field(description="who said what holds for it")
    bytes_total: int
    mean_bps: int = Field(
        description="bytes per second over the last ten complete seconds"
    )


class ClientView(Row):
    client_id: str
    target_bps: int | None = Field(description="as rate_bps")
    group: str | None = Field(description="null: directly below the server")
    requests_total: int
    connections: int = Field(
        description="from its addresses, whoever their requests are of"
    )
    transfers: int
    parked: int
    fill_bytes: int = Field(description="tokens in the bucket; negative: debt")
    jitter_ratio: float | None = Field(
        description="standard deviation of its steady seconds, by their mean; "
        "null: it was silent in one of the last ten"
    )
    last_active_seconds_ago: float | None = Field(description="null: never")
    mode: Mode = Field(description="which controllers follow it")
    adaptive_bps: int | None = Field(description="adaptive target; null: as rate_bps")
    controller_bps: int | None = Field(description="of the controller; null: no limit")
    breaker_bps: int | None = Field(description="of the breaker; null: no limit")
    breaker: BreakerState
    upload_rate_bps: int | None = Field(description="of its uploads; null: no limit")
    uploads_unfinished: int
    uploads_held_bytes: int = Field(description="of space, by those")


class TransferView(BaseModel):
    engine: int
    status: int = Field(description="of the response")
    total_bytes: int = Field(description="head and body")
    moved_bytes: int = Field(description="of them: given to the socket so far")
    limited_by: Limiter


class QuotaView(BaseModel):
    """A quota that counts what this client is sent; it may be its group's."""

    quota: str
    applies_to: str
    used_bytes: int
    volume_bytes: int
    stage: int = Field(description="that was reached; 0: none")
    rate_bps: int | None = Field(description="cap of this stage; null: none yet")
    ends_at: datetime = Field(description="when it begins anew")


class FeedbackView(BaseModel):
    """What the network says of a client's connections, and what follows."""

    srtt_seconds: float | None = Field(description="null: unknown")
    min_rtt_seconds: float | None = Field(description="of the last 10 to 20 seconds")
    estimate_bps: int | None = Field(description="bandwidth of its path; null: unknown")
    segments: int = Field(description="sent, retransmitted ones included")
    retransmitted: int = Field(description="of them")
    marked: int = Field(description="segments delivered with a congestion mark")
    ecn_supported: bool
    loss_ratio: float = Field(description="in the breaker's last sample that counted")
    window_bytes: int | None = Field(description="of the controller; null: no limit")
    ssthresh_bytes: int
    adaptive_raises: int = Field(description="each time it got less than it paid for")
    breaker_trips: int


class ClientDetail(ClientView):
    config_version: int
    feedback: FeedbackView | None = Field(description="null: no controller follows it")
    quotas: list[QuotaView]
    sending: list[TransferView] = Field(description="its transfers, up to a bound")


class ClientsView(BaseModel):
    clients: list[ClientView]
    total_rows: int
    row_limit: int


class GroupView(Row):
    name: str
    active: int = Field(description="members that were active lately")
    backlogged: int = Field(description="of them: those who wanted more")


class GroupDetail(GroupView):
    config_version: int


class GroupsView(BaseModel):
    groups: list[GroupView]
    config_version: int


class ServerView(BaseModel):
    """All engines and clients together."""

    state: Literal["starting", "serving", "draining"]
    config_version: int
    rate_bps: int | None = Field(description="bytes per second; null: no limit")
    effective_bps: int | None = Field(description="it has now; null: no limit")
    cap_bps: int | None = Field(
        description="of a schedule, quota or policy; null: none"
    )
    limited_by: Limiter = Field(description="what keeps it from more now")
    mean_bps: int = Field(
        description="bytes per second over the last ten complete seconds"
    )
    bytes_total: int
    active: int = Field(
        description="clients that were active lately, while there is something to share"
    )
    backlogged: int = Field(description="of them: those who wanted more")
    requests_total: int
    connections: int
    connections_limit: int
    transfers: int
    parked: int = Field(description="of them: waiting for tokens")
    clients: int = Field(description="rows of the table that are in use")
    row_limit: int


class NotificationTaken(BaseModel):
    result: Result = Field(
        description="unchanged: no policy has become active by it, or has ended"
    )
    policies: list[str] = Field(description="those that it concerns")


class FiringView(BaseModel):
    fingerprint: str
    starts_at: datetime
    until: datetime = Field(description="it counts so long, if it is not said again")


class PolicyView(BaseModel):
    """A policy that is active."""

    policy: str
    alert: str = Field(description="the name of it")
    since: datetime
    until: datetime = Field(description="unless an alert is said again")
    caps: dict[str, int | None] = Field(
        description="bytes per second, by target; null: it has no rate of which this "
        "would be a part"
    )
    firing: list[FiringView]


class PoliciesView(BaseModel):
    policies: list[PolicyView] = Field(description="those that are active")


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
