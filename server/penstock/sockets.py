"""Options of the sockets that serve downloads: `[server]` for all listeners,
`[listeners."ADDRESS"]` for one.

They are set on the listener; Linux hands them down to the sockets it accepts.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from penstock.durations import SECOND_NS, format_duration
from penstock.fieldtypes import Count, Duration, Size, between

SYSTEM_CONGESTION = "system"  # leave the kernel's choice
_TCP_CA_NAME = r"^[a-z0-9_-]{1,15}$"  # TCP_CA_NAME_MAX counts the final NUL
# Connections that wait for accept: a burst of one engine's clients while its loop is
# busy. The kernel cuts it to net.core.somaxconn, 4096 by default since Linux 5.4.
BACKLOG_DEFAULT = 4096
BACKLOG_MAX = 65535
NOTSENT_LOWAT_MAX = 1 << 30
BUSY_POLL_MAX_NS = SECOND_NS // 1000

Congestion = Annotated[str, Field(pattern=_TCP_CA_NAME)]
NotsentLowat = Annotated[Size, between(0, NOTSENT_LOWAT_MAX)]
Backlog = Annotated[Count, between(1, BACKLOG_MAX)]
BusyPoll = Annotated[Duration, between(0, BUSY_POLL_MAX_NS, format_duration)]


class SocketOptions(BaseModel):
    """tcp(7), socket(7). 0 leaves ``notsent_lowat`` and ``busy_poll`` to the kernel."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    congestion: Congestion = SYSTEM_CONGESTION
    nodelay: bool = True
    notsent_lowat_bytes: NotsentLowat = Field(0, alias="notsent_lowat")
    backlog: Backlog = BACKLOG_DEFAULT
    defer_accept: bool = False
    busy_poll_ns: BusyPoll = Field(0, alias="busy_poll")

    @classmethod
    def defaults(cls) -> "SocketOptions":
        return SocketOptions.model_validate({})

    def overridden(self, listener: "Listener | None") -> "SocketOptions":
        """These, with what ``listener`` says of its own."""
        merged = {name: getattr(self, name) for name in SocketOptions.model_fields}
        if listener is not None:
            merged |= listener.said()
        return SocketOptions.model_construct(**merged)


class Listener(BaseModel):
    """None: as ``[server]`` has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    congestion: Congestion | None = None
    nodelay: bool | None = None
    notsent_lowat_bytes: NotsentLowat | None = Field(None, alias="notsent_lowat")
    backlog: Backlog | None = None
    defer_accept: bool | None = None
    busy_poll_ns: BusyPoll | None = Field(None, alias="busy_poll")

    def said(self: Self) -> Mapping[str, object]:
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}
