"""The real store, looked at and made to fail as the one in memory is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.uploads.model import RefusedError, Upload
from penstock.uploads.store import FileStore
from penstock.uploads.targets import etag_of
from tests.uploads.fakes import FakeIntake, head
from tests.uploads.stores import Places

WATCHED = "create set_length write finish concatenate terminate".split()


@dataclass(eq=False)
class Published(MutableMapping[str, bytes]):
    """What is in the root, by path."""

    root: Path

    def __getitem__(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def __setitem__(self, path: str, content: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def __delitem__(self, path: str) -> None:
        (self.root / path).unlink()

    def __iter__(self) -> Iterator[str]:
        files = (file for file in self.root.rglob("*") if file.is_file())
        return (str(file.relative_to(self.root)) for file in files)

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass
class DiskStore:
    store: FileStore
    places: Places
    refusals: dict[str, RefusedError] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.published = Published(self.places.root)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        return self._watched(name, found) if name in WATCHED else found

    def _watched(
        self, name: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def watched(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            if name in self.refusals:
                raise self.refusals.pop(name)
            return await call(*arguments, **named)

        return watched

    @property
    def sessions(self) -> Mapping[str, Upload]:
        return self.store._depot.ledger.sessions

    def bytes_of(self, upload: Upload, start: int, end: int) -> bytes:
        return self.places.part(upload.id).read_bytes()[start:end]

    def etag(self, path: str) -> str:
        return etag_of((self.places.root / path).stat())

    async def keep(self, upload_id: str, start: int, content: bytes) -> None:
        body = FakeIntake(head(content_length=len(content)), content)
        upload = self.sessions[upload_id]
        await self.store.write(upload, start, start + len(content), body)
