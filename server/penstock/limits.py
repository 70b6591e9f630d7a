"""``[limits]``: every bound of the engine that can be set, with its default.

Defaults and ranges are the engine's own; a test holds them together. The Python name
of a field is the engine's name for it, its alias is the key in the file.
"""

from typing import TYPE_CHECKING, Annotated, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from penstock.durations import SECOND_NS, format_duration
from penstock.fieldtypes import Count, Duration, Size, between

if TYPE_CHECKING:
    from penstock._engine import EngineLimits

MS_NS = SECOND_NS // 1000
DAY_NS = 86400 * SECOND_NS
CLIENT_ROWS_MAX = 1 << 22


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError(f"{value} is not a power of two")
    return value


PowerOfTwo = Annotated[Count, AfterValidator(_power_of_two)]


def _wait(low: int, high: int) -> AfterValidator:
    return between(low, high, format_duration)


class Limits(BaseModel):
    """All are per engine, except ``max_clients``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_clients: Annotated[Count, between(1, CLIENT_ROWS_MAX)] = 65536
    max_connections: Annotated[Count, between(1, 1 << 20)] = 16384
    max_request_line_bytes: Annotated[Size, between(64, 16383)] = 8192
    max_header_bytes: Annotated[Size, between(256, 1 << 20)] = 32768
    max_headers: Annotated[Count, between(1, 10000)] = 100
    max_ranges: Annotated[Count, between(1, 32)] = 16
    max_body_bytes: Annotated[Size, between(0, 1 << 40)] = 65536
    idle_timeout_ns: Annotated[Duration, _wait(MS_NS, DAY_NS)] = Field(
        60 * SECOND_NS, alias="idle_timeout"
    )
    header_timeout_ns: Annotated[Duration, _wait(MS_NS, DAY_NS)] = Field(
        10 * SECOND_NS, alias="header_timeout"
    )
    write_timeout_ns: Annotated[Duration, _wait(MS_NS, DAY_NS)] = Field(
        60 * SECOND_NS, alias="write_timeout"
    )
    linger_timeout_ns: Annotated[Duration, _wait(MS_NS, 600 * SECOND_NS)] = Field(
        2 * SECOND_NS, alias="linger_timeout"
    )
    small_file_bytes: Annotated[Size, between(0, 1 << 24)] = 16384
    cache_entries: Annotated[Count, between(1, 1 << 20)] = 4096
    cache_bytes: Annotated[Size, between(0, 1 << 40)] = 1 << 26
    cache_revalidate_ns: Annotated[Duration, _wait(0, DAY_NS)] = Field(
        SECOND_NS, alias="cache_revalidate"
    )
    pipes: Annotated[Count, between(1, 1024)] = 8
    pipe_bytes: Annotated[Size, between(4096, 1 << 24)] = 1 << 20
    receive_buffers: Annotated[PowerOfTwo, between(2, 32768)] = 1024
    receive_buffer_bytes: Annotated[Size, between(64, 1 << 20)] = 4096
    sq_entries: Annotated[PowerOfTwo, between(8, 32768)] = 1024
    iowq_workers: Annotated[Count, between(1, 256)] = 4
    show_dotfiles: bool = False

    def for_engine(self, **others: int) -> "EngineLimits":
        """Plain numbers by the engine's names, and ``others``, which the engine takes
        with them."""
        numbers = {
            name: int(getattr(self, name))
            for name in type(self).model_fields
            if name != "max_clients"
        }
        return cast("EngineLimits", numbers | others)
