"""An upload by ``POST /upload``, and who goes on with it."""

from __future__ import annotations

from typing import Any

from tests.uploads.asking import Answered, Site

TEXT = bytes(range(256)) * 4
SIZE = len(TEXT)


class Begun:
    def __init__(self, site: Site, answer: Answered) -> None:
        assert answer.status == 201
        self.site = site
        self.answer = answer
        self.url = answer.fields["location"]
        self.key = answer.fields["idempotency-key"]
        self.id = answer.fields["upload-id"]

    async def put(
        self, start: int, end: int, body: bytes | None = None, **said: Any
    ) -> Answered:
        said.setdefault("range", f"bytes={start}-{end - 1}/{SIZE}")
        said.setdefault("idempotency_key", self.key)
        content = TEXT[start:end] if body is None else body
        return await self.site.ask("PUT", self.url, content, **said)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        return self.site.upload(self.id).spans

    @property
    def durable(self) -> bytes:
        upload = self.site.upload(self.id)
        return self.site.store.bytes_of(upload, 0, upload.offset)


async def begin(site: Site, path: str = "a/b.bin", **said: str) -> Begun:
    said.setdefault("upload_length", str(SIZE))
    return Begun(site, await site.ask("POST", f"/upload?path={path}", **said))
