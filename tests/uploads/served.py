"""A real ``penstock serve`` that takes uploads, and requests to it, byte by byte."""

from __future__ import annotations

import contextlib
import hashlib
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving import Client, Response, Server, request, running

WRITER, READER = "of-the-writer", "of-the-reader"
OFFSET_STREAM = "application/offset+octet-stream"
TUS = {"tus_resumable": "1.0.0"}
IDLE_NAMES = re.compile(r"(ledger\.sqlite(-wal|-shm)?|lock)")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rules(*, writer: bool = True, more: str = "") -> str:
    """A configuration with two clients, of whom one may upload."""
    return (
        f'[clients.writer]\ntoken_sha256 = ["{sha256(WRITER)}"]\n'
        f"upload = {str(writer).lower()}\n"
        f'[clients.reader]\ntoken_sha256 = ["{sha256(READER)}"]\n'
        f"[uploads]\nreserve_free = 0\n{more}"
    )


@dataclass
class UploadSite:
    """
    Attributes:
        folder: of ledger and parts.
        config: the file that was read, for tests that change it.
    """

    server: Server
    folder: Path
    config: Path
    clients: list[Client] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.server.root

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def files(self) -> str:
        """Where tus is."""
        return f"{self.url}/files/"

    def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        token: str | None = WRITER,
        **fields: str,
    ) -> Response:
        """On a connection of its own; ``if_match="x"`` becomes ``If-Match: x``."""
        with self.server.client() as client:
            client.send(head(method, target, len(body), token=token, **fields))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.send(body)
            return client.read(method)

    def begin(self, path: str, length: int, **fields: str) -> Begun:
        answer = self.ask(
            "POST", f"/upload?path={path}", upload_length=str(length), **fields
        )
        assert answer.status == 201, answer
        return Begun(self, answer["location"], answer["idempotency-key"], length)

    def tus(self, method: str, target: str, body: bytes = b"", **fields: str) -> Any:
        if body:
            fields.setdefault("content_type", OFFSET_STREAM)
        return self.ask(method, target, body, **TUS, **fields)

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(self.server.admin + "/metrics", timeout=10) as text:
            found = re.findall(rf"(?m)^{name}(?:{{.*}})? (\S+)$", text.read().decode())
        assert found, f"there is no {name}"
        return sum(map(float, found))

    def left_over(self) -> set[str]:
        """What is in the folder beside ledger and lock."""
        names = {path.name for path in self.folder.iterdir()}
        return {name for name in names if not IDLE_NAMES.fullmatch(name)}

    def check_balance(self) -> None:
        self.server.wait(
            "every request is answered", lambda: self.metric("penstock_intakes") == 0
        )
        self.server.check_balance()


@dataclass
class Begun:
    """An upload by ``POST /upload``."""

    site: UploadSite
    target: str
    key: str
    length: int

    @property
    def id(self) -> str:
        return self.target.partition("upload_id=")[2]

    @property
    def part(self) -> Path:
        return self.site.folder / f"{self.id}.part"

    def put(self, start: int, body: bytes, **fields: str) -> Response:
        last = start + len(body) - 1
        fields.setdefault("range", f"bytes={start}-{last}/{self.length}")
        fields.setdefault("idempotency_key", self.key)
        return self.site.ask("PUT", self.target, body, **fields)

    def offset(self) -> int:
        return int(self.site.ask("HEAD", self.target)["upload-offset"])


def head(
    method: str,
    target: str,
    length: int,
    *,
    token: str | None = WRITER,
    **fields: object,
) -> bytes:
    if token is not None:
        fields["Authorization"] = f"Bearer {token}"
    if length:
        fields["Content-Length"] = length
    return request(target, method, **fields)


@contextlib.contextmanager
def serving_uploads(
    tmp: Path,
    *options: str,
    more: str = "",
    said: str = "",
    disk: Path | None = None,
    **running_options: Any,
) -> Iterator[UploadSite]:
    """``penstock serve`` of ``disk/root`` with ``disk/uploads``, where another one may
    have been before.

    Args:
        tmp: of log and configuration.
        more: lines of ``[uploads]``, and tables behind them.
        said: the whole configuration, instead of ``rules``.
        disk: ``tmp``, if not said.
    """
    disk = disk or tmp
    root, folder, config = disk / "root", disk / "uploads", tmp / "penstock.toml"
    root.mkdir(exist_ok=True)
    config.write_text(said or rules(more=more))
    arguments = ("--uploads", str(folder), "--config", str(config), *options)
    with running(root, tmp, *arguments, **running_options) as server:
        yield UploadSite(server, folder, config)
