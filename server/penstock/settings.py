"""The settings: one frozen tree, made once from file and flags, checked as a whole.

The Python name of a field carries its unit, its alias is the key in the file.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from penstock.addresses import Address, parse_address
from penstock.allowances import DEFAULT_WEIGHT, MAX_WEIGHT, UNLIMITED, Mode
from penstock.clientids import canonical_client_id, check_client_id, check_group_name
from penstock.durations import SECOND_NS, format_duration
from penstock.feedback import FeedbackSettings
from penstock.fieldtypes import (
    CPU_MAX,
    Count,
    Cpus,
    Decimal,
    Digest,
    Digests,
    Duration,
    Encodings,
    Folder,
    ListenAddress,
    ListenAddresses,
    Networks,
    Rate,
    Size,
    between,
)
from penstock.identity import GroupNetworks, Identity
from penstock.identity_rules import IdentityRules
from penstock.limits import Limits
from penstock.networks import wide
from penstock.policies import Policies
from penstock.quotas import Quotas
from penstock.rates import MAX_BURST_BYTES
from penstock.schedules import Schedules
from penstock.sockets import Listener, SocketOptions
from penstock.tree import (
    NO_GROUP,
    NOTHING,
    Spec,
    Tree,
)
from penstock.uploads.settings import UploadsSettings

LISTEN_MAX = 16  # listening sockets that one engine holds
ENGINES_MAX = 256
DRAIN_TIMEOUT_MAX_NS = 3600 * SECOND_NS
TOP_CLIENTS_DEFAULT = 200  # label values of client_id: what a scrape can carry
TOP_CLIENTS_MAX = 10_000
SCRAPE_WINDOW_MAX_NS = 3600 * SECOND_NS
# How bodies get to the socket; the order is the engine's (strategy.pxd).
Transmit = Literal["auto", "copy", "sendfile", "splice", "zerocopy"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Server(SocketOptions):
    root: Folder | None = None
    listen: ListenAddresses = (parse_address("127.0.0.1:8000"),)
    cpus: Cpus | None = None  # None: all that the process may use
    transmit: Transmit = "auto"
    precompressed: Encodings = ()  # best first
    state_dir: Folder | None = None  # None: nothing is kept over a restart
    drain_timeout_ns: Annotated[
        Duration, between(0, DRAIN_TIMEOUT_MAX_NS, format_duration)
    ] = Field(10 * SECOND_NS, alias="drain_timeout")

    def for_engine(self) -> dict[str, int]:
        """What the engine takes with its limits."""
        return {
            "transmit": get_args(Transmit).index(self.transmit),
            "busy_poll_us": -(-self.busy_poll_ns // 1000),
        }

    @field_validator("listen")
    @classmethod
    def _listen_once(cls, value: ListenAddresses) -> ListenAddresses:
        if not 1 <= len(value) <= LISTEN_MAX:
            raise ValueError(f"1 to {LISTEN_MAX} addresses are possible")
        fixed = [str(address) for address in value if address.port]
        for address in fixed:
            if fixed.count(address) > 1:
                raise ValueError(f"{address} is listed twice")
        return value

    @field_validator("cpus")
    @classmethod
    def _cpus_once(cls, value: Cpus | None) -> Cpus | None:
        if value is None:
            return None
        if not 1 <= len(value) <= ENGINES_MAX:
            raise ValueError(f"1 to {ENGINES_MAX} CPUs are possible")
        if wrong := [cpu for cpu in value if not 0 <= cpu <= CPU_MAX]:
            raise ValueError(f"{wrong[0]} is no CPU: they are 0 to {CPU_MAX}")
        if len(set(value)) != len(value):
            raise ValueError("each CPU can be listed once: it gets one engine")
        return value


class Admin(Section):
    token_sha256: Digest | None = Field(None, repr=False)
    alertmanager_token_sha256: Digest | None = Field(None, repr=False)
    listen: ListenAddress = parse_address("127.0.0.1:8080")

    @field_validator("listen")
    @classmethod
    def _others_need_a_token(cls, value: Address, info: ValidationInfo) -> Address:
        """A wrong token is its own problem, and not in ``info.data``."""
        token = info.data.get("token_sha256", b"")
        if token is None and not value.is_loopback:
            raise ValueError(
                f"{value} can be reached by others: set admin.token_sha256, "
                "or listen on 127.0.0.1"
            )
        return value


def _group_or_none(name: str) -> str:
    return name if name == NO_GROUP else check_group_name(name)


GroupName = Annotated[str, AfterValidator(check_group_name)]
GroupOfClient = Annotated[str, AfterValidator(_group_or_none)]
Burst = Annotated[Size, between(1, MAX_BURST_BYTES)]
Weight = Annotated[Count, between(1, MAX_WEIGHT)]


class Shaping(Section):
    """The server, and the class of clients that have nothing of their own. A rate that
    is None is no limit, what else is None follows from the rate."""

    client_rate_bps: Rate | None = Field(None, alias="client_rate")
    client_ceil_bps: Rate | None = Field(None, alias="client_ceil")
    client_weight: Weight = DEFAULT_WEIGHT
    client_burst_bytes: Burst | None = Field(None, alias="client_burst")
    client_peak_bps: Rate | None = Field(None, alias="client_peak")
    client_group: GroupName | None = None
    client_mode: Mode = "off"  # which controllers follow a client
    client_upload_rate_bps: Rate | None = Field(None, alias="client_upload_rate")
    total_rate_bps: Rate | None = Field(None, alias="total_rate")
    explain: bool = False  # responses say what limits their client
    pace_sockets: bool = False  # the kernel spreads out what a grant allows

    def default_class(self) -> Spec:
        return Spec(
            rate_bps=self.client_rate_bps,
            ceil_bps=self.client_ceil_bps,
            weight=self.client_weight,
            burst_bytes=self.client_burst_bytes,
            peak_bps=self.client_peak_bps,
            group=self.client_group,
            mode=self.client_mode,
            upload_rate_bps=self.client_upload_rate_bps,
        )


class Telemetry(Section):
    top_clients: Annotated[Count, between(0, TOP_CLIENTS_MAX)] = TOP_CLIENTS_DEFAULT
    # How often metrics are collected (scrapes.py).
    scrape_burst: Annotated[Count, between(1, 1000)] = 10
    scrape_qps: Annotated[Decimal, between(0.01, 1000.0)] = 2.0
    scrape_window_ns: Annotated[
        Duration, between(0, SCRAPE_WINDOW_MAX_NS, format_duration)
    ] = Field(10 * SECOND_NS, alias="scrape_window")


class Node(Section):
    """What groups and clients have in common; None: not said."""

    rate_bps: Rate | None = Field(None, alias="rate")
    ceil_bps: Rate | None = Field(None, alias="ceil")
    min_bps: Rate | None = Field(None, alias="min")
    weight: Weight | None = None
    burst_bytes: Burst | None = Field(None, alias="burst")
    peak_bps: Rate | None = Field(None, alias="peak")

    def spec(self) -> Spec:
        return Spec(*(getattr(self, name, None) for name in Spec._fields))


class Group(Node):
    networks: GroupNetworks = ()  # clients that come from there belong to it


class Client(Node):
    group: GroupOfClient | None = None
    mode: Mode | None = None
    token_sha256: Digests = Field((), repr=False)
    networks: Networks = ()  # all of each is this one client
    upload: bool = False  # whoever has one of its tokens may
    upload_rate_bps: Rate | None = Field(None, alias="upload_rate")


def _listening_address(text: str) -> str:
    return str(parse_address(text))


ListenerAddress = Annotated[str, AfterValidator(_listening_address)]
ClientId = Annotated[str, AfterValidator(check_client_id)]


class Settings(Section):
    server: Server = Field(default_factory=lambda: Server.model_validate({}))
    admin: Admin = Field(
        default_factory=lambda: Admin.model_validate({}), validate_default=True
    )
    shaping: Shaping = Field(default_factory=lambda: Shaping.model_validate({}))
    identity: Identity = Field(default_factory=lambda: Identity.model_validate({}))
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    telemetry: Telemetry = Field(default_factory=lambda: Telemetry.model_validate({}))
    listeners: dict[ListenerAddress, Listener] = Field(default_factory=dict)
    groups: dict[GroupName, Group] = Field(default_factory=dict)
    clients: dict[ClientId, Client] = Field(default_factory=dict)
    feedback: FeedbackSettings = Field(
        default_factory=lambda: FeedbackSettings.model_validate({})
    )
    schedules: Schedules = ()
    quotas: Quotas = Field(default_factory=dict)
    policies: Policies = Field(default_factory=dict)
    uploads: UploadsSettings = Field(
        default_factory=lambda: UploadsSettings.model_validate({})
    )

    @field_validator("admin")
    @classmethod
    def _one_port_each(cls, value: Admin, info: ValidationInfo) -> Admin:
        server = info.data.get("server")
        if server and value.listen.port and value.listen in server.listen:
            raise ValueError(
                f"{value.listen} is in server.listen, too: downloads and the admin API "
                "need a port each"
            )
        return value

    @field_validator("listeners")
    @classmethod
    def _listeners_listen(
        cls, value: dict[str, Listener], info: ValidationInfo
    ) -> dict[str, Listener]:
        server = info.data.get("server")
        known = [str(address) for address in server.listen] if server else []
        for address in value if server else ():
            if address not in known:
                raise ValueError(
                    f"{address} is not in server.listen, which has {', '.join(known)}"
                )
        return value

    def socket_options(self) -> list[SocketOptions]:
        """Of each address of ``server.listen``."""
        return [
            self.server.overridden(self.listeners.get(str(address)))
            for address in self.server.listen
        ]

    def tree(self) -> Tree:
        """What the file says of the shaping tree; clients that it only knows tokens of
        are not in there."""
        specs = {canonical_client_id(i): c.spec() for i, c in self.clients.items()}
        return Tree(
            total_rate_bps=self.shaping.total_rate_bps or UNLIMITED,
            default=self.shaping.default_class(),
            groups={name: group.spec() for name, group in self.groups.items()},
            clients={i: spec for i, spec in specs.items() if spec != NOTHING},
        )

    def identity_rules(self) -> IdentityRules:
        """What ``ClientTable.configure`` takes."""
        return IdentityRules(
            methods=self.identity.methods(),
            forwarded=self.identity.forwarded,
            header=self.identity.header or "",
            proxies=[wide(network) for network in self.identity.trusted_proxies],
            clients=[(wide(n), i) for i, c in self.clients.items() for n in c.networks],
            groups=[(wide(n), i) for i, g in self.groups.items() for n in g.networks],
        )

    def public(self) -> dict[str, Any]:
        """Every setting as the file would spell it; digests of tokens are counted."""
        secret: Any = {
            "admin": {"token_sha256", "alertmanager_token_sha256"},
            "clients": {"__all__": {"token_sha256"}},
        }
        shown: dict[str, Any] = self.model_dump(
            mode="json", by_alias=True, exclude=secret
        )
        for name in ("", "alertmanager_"):
            known = getattr(self.admin, f"{name}token_sha256") is not None
            shown["admin"][f"{name}tokens"] = int(known)
        for client_id, client in self.clients.items():
            shown["clients"][client_id]["tokens"] = len(client.token_sha256)
        return shown
