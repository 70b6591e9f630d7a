"""Where an upload goes: a path below the root, which its name cannot leave."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from urllib.parse import quote

from penstock.uploads.fields import shown
from penstock.uploads.model import RefusedError

NAME_BYTES_MAX = 255  # NAME_MAX
PATH_BYTES_MAX = 1024  # so that it fits into an answer, written as a URL
_NO_FOLDER = "null"  # what clients in browsers write where there is none


def target_path(text: str) -> str:
    """Relative; whether it was said with a slash before it is all the same.

    Raises:
        RefusedError: 400, it can not be the path of a file, and why.
    """
    path = text.removeprefix("/")
    names_of(path)
    return path


def names_of(path: str) -> list[str]:
    """Its components, each a name that a file may have here. Only text is looked at:
    who walks them is what meets symbolic links.

    Raises:
        RefusedError: 400, it can not be the path of a file, and why.
    """
    try:
        n_bytes = len(path.encode())
    except UnicodeEncodeError:
        raise _refusal(path, "it is not Unicode") from None
    if n_bytes > PATH_BYTES_MAX:
        raise _refusal(path, f"a path has at most {PATH_BYTES_MAX} bytes")
    names = path.split("/")
    for name in names:
        why = _why_not(name)
        if why:
            raise _refusal(path, why)
    return names


def _refusal(text: str, why: str) -> RefusedError:
    return RefusedError(400, f"{shown(text)} is not a path for a file: {why}")


def _why_not(name: str) -> str:
    if not name:
        return "a name is empty"
    if name.startswith("."):  # hidden names are not served; "." and ".." are two
        return "a name begins with a dot"
    if any(unicodedata.category(c) == "Cc" for c in name):
        return "a name has control characters"
    if len(name.encode()) > NAME_BYTES_MAX:
        return f"a name has at most {NAME_BYTES_MAX} bytes"
    return ""


def location(path: str) -> str:
    """Of a path below the root, as a URL has it."""
    return "/" + quote(path)


def named_by(metadata: Mapping[str, bytes]) -> str | None:
    """The path that metadata of tus asks for. Clients in browsers say ``relativePath``
    of a file that was in a folder, which ends with its ``filename``."""
    folder = _text("relativePath", metadata.get("relativePath", b""))
    name = _text("filename", metadata.get("filename", b""))
    path = name if folder in ("", _NO_FOLDER) else folder
    return target_path(path) if path else None


def _text(key: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RefusedError(
            400, f"Upload-Metadata: {key} is not UTF-8: encode it before base64"
        ) from None
