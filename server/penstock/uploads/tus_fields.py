"""Fields that only tus has: metadata, and which uploads are put together."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from penstock.uploads.fields import refuse
from penstock.uploads.model import Head, RefusedError
from penstock.uploads.settings import TUS_PATH

VERSION = "1.0.0"
FILES = TUS_PATH
METADATA_BYTES_MAX = 4096  # kept with each upload, and sent with each HEAD
PARTS_MAX = 128  # they are sent with each HEAD, too
PARTIAL = "partial"
_FINAL = "final;"
_KEY = re.compile(r"[!-+\--~]+")  # visible ASCII without a comma
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_METADATA_EXAMPLE = "pairs are: filename YS50eHQ=,draft (keys, and base64 of values)"
_CONCAT_EXAMPLE = f"it is: partial, or final;{FILES}/ID {FILES}/ID"


def upload_metadata(head: Head) -> dict[str, bytes]:
    text = head.get("upload-metadata")
    if not text:
        return {}
    if len(text) > METADATA_BYTES_MAX:
        raise RefusedError(
            400, f"Upload-Metadata has at most {METADATA_BYTES_MAX} bytes"
        )
    found: dict[str, bytes] = {}
    for pair in text.split(","):
        key, _, value = pair.strip(" \t").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            refuse(400, "Upload-Metadata", pair, _METADATA_EXAMPLE)
        found[key] = _decoded(pair, value)
    return found


def _decoded(pair: str, value: str) -> bytes:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except ValueError:
        refuse(400, "Upload-Metadata", pair, _METADATA_EXAMPLE)


def written_metadata(metadata: Mapping[str, bytes]) -> str:
    """As it is kept and told: written anew, so that nothing but pairs can be in it."""
    pairs = (
        f"{key} {base64.b64encode(value).decode()}" for key, value in metadata.items()
    )
    return ",".join(pair.rstrip(" ") for pair in pairs)


@dataclass(frozen=True, slots=True)
class Concat:
    """What Upload-Concat says; without ``parts`` the upload is partial itself."""

    parts: tuple[str, ...] = ()  # ids

    def __str__(self) -> str:
        """As it is kept and told."""
        urls = " ".join(f"{FILES}/{upload_id}" for upload_id in self.parts)
        return _FINAL + urls if self.parts else PARTIAL


def upload_concat(head: Head) -> Concat | None:
    text = head.get("upload-concat")
    if text is None or text == PARTIAL:
        return Concat() if text else None
    if not text.startswith(_FINAL):
        refuse(400, "Upload-Concat", text, _CONCAT_EXAMPLE)
    urls = text.removeprefix(_FINAL).split()
    if len(urls) > PARTS_MAX:
        raise RefusedError(400, f"Upload-Concat names at most {PARTS_MAX} uploads")
    parts = tuple(_part(text, url) for url in urls)
    if not parts:
        refuse(400, "Upload-Concat", text, _CONCAT_EXAMPLE)
    return Concat(parts)


def _part(text: str, url: str) -> str:
    """Of a URL: its path only, since behind a proxy the host has other names."""
    try:
        upload_id = id_in(urlsplit(url).path)
    except ValueError:
        upload_id = None
    if upload_id is None:
        refuse(400, "Upload-Concat", text, _CONCAT_EXAMPLE)
    return upload_id


def id_in(path: str) -> str | None:
    """Of ``/files/ID``."""
    found = path.removeprefix(FILES + "/")
    return found if found != path and is_id(found) else None


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
