"""``[identity]``: how the server tells clients apart."""

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from penstock.fieldtypes import Networks, listed
from penstock.identity_rules import (
    HEADER_NAME_BYTES_MAX,
    METHODS,
    Forwarded,
    Method,
)
from penstock.networks import Network, listed_twice

NETWORKS_MAX = 65536
CLIENT_PREFIX_V6 = 64  # an IPv6 client is such a network
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
# Fields that mean something else already.
_TAKEN = frozenset(
    """host range if-range if-match if-none-match if-modified-since
    if-unmodified-since authorization expect connection transfer-encoding
    accept-encoding content-length content-type cookie forwarded x-forwarded-for
    via te trailer upgrade user-agent""".split()
)


def _field_name(value: object) -> str:
    if not isinstance(value, str) or not _FIELD_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a field, like 'X-Client-ID'")
    if len(value) > HEADER_NAME_BYTES_MAX:
        raise ValueError(
            f"the name of a field has at most {HEADER_NAME_BYTES_MAX} bytes"
        )
    if value.lower() in _TAKEN:
        raise ValueError(f"{value} means something else already")
    return value


def _methods(value: tuple[Method, ...]) -> tuple[Method, ...]:
    for method in value:
        if value.count(method) > 1:
            raise ValueError(f"{method!r} is listed twice")
    if "address" in value[:-1]:
        raise ValueError("'address' finds everybody: it can only be the last")
    return value


def _once(value: tuple[Network, ...]) -> tuple[Network, ...]:
    if twice := listed_twice(value):
        raise ValueError(f"{twice} is listed twice")
    if len(value) > NETWORKS_MAX:
        raise ValueError(f"at most {NETWORKS_MAX} networks are possible")
    return value


def _not_within_a_client(value: tuple[Network, ...]) -> tuple[Network, ...]:
    for network in value:
        if network.version == 6 and network.prefixlen > CLIENT_PREFIX_V6:
            raise ValueError(
                f"{network} is part of one client, an IPv6 /{CLIENT_PREFIX_V6}: give a "
                "group networks that have whole ones"
            )
    return value


FieldName = Annotated[str, BeforeValidator(_field_name)]
Order = Annotated[tuple[Method, ...], listed('"token"'), AfterValidator(_methods)]
ProxyNetworks = Annotated[Networks, AfterValidator(_once)]
GroupNetworks = Annotated[Networks, AfterValidator(_not_within_a_client)]


class Identity(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    order: Order = METHODS  # "address" comes last, also where it is not named
    trusted_proxies: ProxyNetworks = ()
    forwarded: Forwarded = "auto"
    header: FieldName | None = Field(None, validate_default=True)

    @field_validator("header")
    @classmethod
    def _somebody_may_send_it(
        cls, value: str | None, info: ValidationInfo
    ) -> str | None:
        """What is wrong itself is its own problem, and not in ``info.data``."""
        if value is None:
            return value
        if not info.data.get("trusted_proxies", True):
            raise ValueError(
                f"{value} is believed from nobody: set identity.trusted_proxies"
            )
        if "header" not in info.data.get("order", ("header",)):
            raise ValueError(f"{value} is not looked at: identity.order lacks 'header'")
        return value

    def methods(self) -> tuple[Method, ...]:
        """``order`` with its last resort."""
        return (*(m for m in self.order if m != "address"), "address")
