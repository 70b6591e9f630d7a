"""A client of tus, without a socket."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.uploads.asking import Answered, Site, encoded
from tests.uploads.begun import SIZE

TYPE = "application/offset+octet-stream"


class Tus:
    def __init__(self, site: Site) -> None:
        self.site = site

    async def ask(
        self, method: str, target: str, body: bytes = b"", **said: Any
    ) -> Answered:
        said.setdefault("tus_resumable", "1.0.0")
        answer = await self.site.ask(method, target, body, **said)
        assert answer["tus-resumable"] == "1.0.0"
        assert answer["cache-control"] == "no-store"
        return answer

    async def post(self, body: bytes = b"", **said: Any) -> Answered:
        return await self.ask("POST", "/files", body, **said)

    async def create(self, **said: Any) -> str:
        """Its URL."""
        answer = await self.post(**({"upload_length": str(SIZE)} | said))
        assert answer.status == 201
        return answer.fields["location"]

    async def patch(
        self, url: str, offset: int, body: bytes = b"", **said: Any
    ) -> Answered:
        said = {"content_type": TYPE, "upload_offset": str(offset)} | said
        return await self.ask("PATCH", url, body, **said)

    async def offset(self, url: str) -> str | None:
        answer = await self.ask("HEAD", url)
        assert answer.status == 200
        return answer["upload-offset"]


def named(name: str) -> str:
    return f"filename {encoded(name.encode())}"


def checksum(body: bytes, name: str = "sha1") -> str:
    return f"{name} {encoded(hashlib.new(name, body).digest())}"


def url_id(url: str) -> str:
    return url.rpartition("/")[2]
