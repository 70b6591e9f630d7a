"""A site that takes uploads, without a socket: requests in, answers out."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import http_sf

from penstock.uploads.model import End, Head, RefusedError, Upload
from penstock.uploads.routes import handle
from penstock.uploads.service import Service
from tests.uploads.fakes import FakeIntake, head
from tests.uploads.fakestore import FakeStore

NOON = 1_795_780_800.0
MOST_BYTES = 1 << 20


@dataclass
class Answered:
    status: int
    fields: dict[str, str]  # names in lower case
    body: bytes
    intake: FakeIntake

    def __getitem__(self, name: str) -> str | None:
        return self.fields.get(name)

    @property
    def detail(self) -> str:
        assert self.fields["content-type"] == "application/problem+json"
        said = json.loads(self.body)
        assert said["status"] == self.status
        assert said["title"]
        return str(said["detail"])


@dataclass
class Site:
    store: Any = field(default_factory=FakeStore)  # or a DiskStore
    now: float = NOON
    refused: bool = False  # the right to upload
    ends: bool = False  # the server does

    def __post_init__(self) -> None:
        self.service = Service(
            self.store,
            lambda _: not self.refused,
            MOST_BYTES,
            lambda: self.now,
            ends=lambda: self.ends,
        )

    async def ask(
        self, method: str, target: str, body: bytes = b"", **said: Any
    ) -> Answered:
        return await self.sent(request(method, target, body, **said))

    async def sent(self, intake: FakeIntake) -> Answered:
        await handle(intake, self.service)
        [(status, fields, body)] = intake.answers
        names = {name.lower(): value for name, value in fields.items()}
        return Answered(status, names, body, intake)

    def upload(self, upload_id: str) -> Upload:
        found = self.store.find(upload_id)
        assert found is not None
        return found

    def fail(self, call: str, status: int, detail: str = "no") -> None:
        self.store.refusals[call] = RefusedError(status, detail)


def request(
    method: str,
    target: str,
    body: bytes = b"",
    *,
    announced: int | None = None,
    chunked: bool = False,
    then: End = End.COMPLETE,
    waits: bool = False,
    **fields: str,
) -> FakeIntake:
    """``announced`` is a Content-Length that is not the body's."""
    length = len(body) if announced is None else announced
    said: Head = head(
        method, target, None if chunked else length or None, chunked=chunked, **fields
    )
    return FakeIntake(said, body, then, waits)


def digest(content: bytes, algorithm: str = "sha-256") -> str:
    """As RFC 9530 writes it."""
    value = hashlib.new(algorithm.replace("-", ""), content).digest()
    return str(http_sf.ser({algorithm: (value, {})}))


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
