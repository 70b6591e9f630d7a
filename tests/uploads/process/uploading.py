"""A real server that takes uploads from everybody, and what a client does with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.uploads import spans
from tests.serving import Client, Response, Server, request
from tests.uploads.asking import encoded
from tests.uploads.served import OFFSET_STREAM, TUS, head, serving_uploads

PIECE_BYTES = 16 << 10  # of a body, so that a crash finds some of it sent


class GoneError(Exception):
    """The server is; nothing was acknowledged."""


@contextmanager
def uploading(
    home: Path, *options: str, settings: str = "", reserve: int = 0, **more: Any
) -> Iterator[Server]:
    """As ``serving_uploads``: a server that may end before the block does.

    Args:
        settings: more lines of ``[uploads]``, and tables behind them.
    """
    said = f"[uploads]\nopen = true\nreserve_free = {reserve}\n{settings}"
    with serving_uploads(home, *options, said=said, **more) as site:
        site.server.extra["may_exit"] = True
        yield site.server


def answer(client: Client, method: str) -> Response:
    """Raises GoneError."""
    try:
        while b"\r\n\r\n" not in client.buffer:
            if not client.fill():
                raise GoneError
    except ConnectionError:
        raise GoneError from None
    return client.read(method)


def ask(
    client: Client, method: str, target: str, body: bytes = b"", **fields: object
) -> Response:
    client.send(head(method, target, len(body), token=None, **fields) + body)
    return answer(client, method)


@dataclass
class Remote:
    """An upload as its client knows it.

    Attributes:
        sent: what the server may have of it.
        acknowledged: what the server must have of it.
        done: that it is finished was acknowledged.
    """

    name: str  # of the file, below the root
    data: bytes = field(repr=False)
    tus: bool = False
    location: str = ""
    key: str = ""
    sent: spans.Spans = ()
    acknowledged: spans.Spans = ()
    done: bool = False

    @property
    def id(self) -> str:
        return self.location.rpartition("/" if self.tus else "=")[2]

    def begin(self, client: Client, **fields: object) -> Response:
        size = len(self.data)
        if self.tus:
            name = encoded(self.name.encode())
            fields = {"Upload_Metadata": f"filename {name}", **TUS, **fields}
            said = ask(client, "POST", "/files", Upload_Length=size, **fields)
        else:
            path = f"/upload?path={self.name}"
            said = ask(client, "POST", path, Upload_Length=size, **fields)
        if said.status == 201:
            self.location = said["location"]
            self.key = said.headers.get("idempotency-key", "")
        return said

    def head(self, start: int, end: int, **fields: object) -> bytes:
        """Of a request with these bytes."""
        said: dict[str, object] = {
            "idempotency_key": self.key,
            "content_range": f"bytes {start}-{end - 1}/{len(self.data)}",
        }
        if self.tus:
            said = {"upload_offset": start, "content_type": OFFSET_STREAM, **TUS}
        method = "PATCH" if self.tus else "PUT"
        n_bytes = end - start
        return head(method, self.location, n_bytes, token=None, **said, **fields)

    def send(self, client: Client, start: int, end: int, **fields: object) -> Response:
        """Bytes, piece by piece. An answer that came before the connection was reset
        counts.

        Raises:
            GoneError: there was none.
        """
        with suppress(ConnectionError):
            client.send(self.head(start, end, **fields))
            for at in range(start, end, PIECE_BYTES):
                until = min(end, at + PIECE_BYTES)
                self.sent = spans.add(self.sent, at, until)
                client.send(self.data[at:until])
        said = answer(client, "PATCH" if self.tus else "PUT")
        if said.status in (200, 204):
            self.acknowledged = spans.add(self.acknowledged, start, end)
            self.done = said["upload-offset"] == str(len(self.data))
        return said

    def status(self, client: Client) -> Response:
        fields: dict[str, object] = {**TUS} if self.tus else {}
        return ask(client, "HEAD", self.location, **fields)

    def claimed(self, client: Client) -> spans.Spans:
        """What the server says that it has."""
        said = self.status(client)
        assert said.status == 200, said
        offset = int(said["upload-offset"])
        if self.tus:
            return spans.add((), 0, offset)
        ranges = said.headers.get("upload-ranges", "bytes=").removeprefix("bytes=")
        found: spans.Spans = ()
        for one in filter(None, ranges.split(",")):
            first, last = one.split("-")
            found = spans.add(found, int(first), int(last) + 1)
        assert offset == (found[0][1] if found and found[0][0] == 0 else 0)
        return found

    def delete(self, client: Client) -> Response:
        fields: dict[str, object] = {**TUS} if self.tus else {}
        if self.key:
            fields["Idempotency_Key"] = self.key
        return ask(client, "DELETE", self.location, **fields)

    def finish(self, client: Client) -> None:
        """Whatever is missing, and see it by an ordinary download."""
        gaps = [
            (start, end)
            for start, end, covered in spans.pieces(
                self.claimed(client), 0, len(self.data)
            )
            if not covered
        ]
        for start, end in gaps:
            said = self.send(client, start, end)
            assert said.status in (200, 204), said
        self.check_download(client)

    def check_download(self, client: Client) -> None:
        client.send(request(f"/{self.name}"))
        got = client.read()
        assert got.status == 200
        assert got.body == self.data, self.name
