"""``[uploads]``: where they are kept, who may, and how much."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from penstock.durations import SECOND_NS, format_duration
from penstock.fieldtypes import Count, Duration, Folder, Size, between

GIB = 1 << 30
BYTES_MAX = 1 << 62
DAY_NS = 86400 * SECOND_NS
# How bodies get into files; the order is the engine's (limits.pxd).
WritePath = Literal["auto", "splice", "copy", "direct"]

CORE_PATH = "/upload"
TUS_PATH = "/files"
PATHS = (CORE_PATH, TUS_PATH)

Bytes = Annotated[Size, between(1, BYTES_MAX)]


class UploadsSettings(BaseModel):
    """
    Attributes:
        directory: of the ledger and of what is not finished; None: no uploads.
        open: everybody may, without a token.
        write_path: how bodies get into files.
        max_at_once: requests, for each engine; more are answered 503.
        max_client_at_once: that bring bytes, of one client; more are answered 429.
        body_timeout_ns: without a byte of a body that is wanted.
        max_bytes: of one upload.
        max_client_bytes: unfinished, of one client.
        max_total_bytes: unfinished, of all.
        reserve_free_bytes: of the file system, that uploads leave free.
        expire_ns: after so long without a byte an unfinished one is deleted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    directory: Folder | None = None
    open: bool = False
    write_path: WritePath = "auto"
    max_at_once: Annotated[Count, between(1, 4096)] = 1024
    max_client_at_once: Annotated[Count, between(1, 4096)] = 256
    body_timeout_ns: Annotated[
        Duration, between(SECOND_NS // 1000, DAY_NS, format_duration)
    ] = Field(30 * SECOND_NS, alias="body_timeout")
    max_bytes: Bytes = 64 * GIB
    max_client_bytes: Bytes = 256 * GIB
    max_total_bytes: Bytes = 1024 * GIB
    reserve_free_bytes: Annotated[Size, between(0, BYTES_MAX)] = Field(
        GIB, alias="reserve_free"
    )
    expire_ns: Annotated[
        Duration, between(SECOND_NS, 365 * DAY_NS, format_duration)
    ] = Field(DAY_NS, alias="expire")

    def for_engine(self) -> dict[str, int]:
        """What the engine takes with its limits; nothing without uploads."""
        if self.directory is None:
            return {}
        return {
            "max_intakes": self.max_at_once,
            "write_path": get_args(WritePath).index(self.write_path),
            "body_timeout_ns": self.body_timeout_ns,
        }

    def paths(self) -> tuple[str, ...]:
        """What engines leave to us."""
        return () if self.directory is None else PATHS

    def folder(self) -> Path:
        assert self.directory is not None
        return self.directory
