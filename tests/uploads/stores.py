"""Folders of a test, and uploads to make."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.uploads.model import (
    Head,
    SessionState,
    Upload,
)
from penstock.uploads.space import StoreLimits

NOW = 1_800_000_000.0
EXPIRE_AFTER = 3600.0
LIMITS = StoreLimits(
    max_upload_bytes=1 << 40,
    max_client_bytes=1 << 40,
    max_total_bytes=1 << 40,
    reserve_free_bytes=0,
    expire_after=EXPIRE_AFTER,
)
DATA = random.Random(5).randbytes(100_000)
HEAD = Head("PUT", "/upload", (), "alice", None)


def new_upload(upload_id: str = "a", **changes: object) -> Upload:
    upload = Upload(
        id=upload_id,
        owner="alice",
        target="file",
        length=None,
        state=SessionState.OPEN,
        created=0.0,
        expires=0.0,
        key_hash=hashlib.sha256(b"key").digest(),
    )
    return replace(upload, **changes)  # type: ignore[arg-type]


@dataclass
class Places:
    """The served root and the folder of uploads, side by side."""

    home: Path
    limits: StoreLimits = LIMITS
    now: float = NOW

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def folder(self) -> Path:
        return self.home / "uploads"

    def part(self, upload_id: str = "a") -> Path:
        return self.folder / f"{upload_id}.part"
