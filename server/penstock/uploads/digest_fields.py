"""Digests in fields: RFC 9530's, this server's tree, and the checksum of tus."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import http_sf

from penstock.uploads.fields import refuse, shown
from penstock.uploads.model import Head, RefusedError

# SHA-256 over the SHA-256 of each MiB, in pairs. Not an algorithm of RFC 9530, which
# has a registry: so it has a field of its own, in the same form.
TREE = "sha256-tree-1m"
TREE_FIELD = "Penstock-Digest"
CHECKSUMS = {"sha1": "sha1", "sha256": "sha-256"}  # of tus -> as the store calls them
_SIZES = {"sha1": 20, "sha-256": 32, "sha-512": 64, TREE: 32}
_ACTIVE = ("sha-256", "sha-512")  # of RFC 9530, the one that is compared first


def content_digest(head: Head) -> tuple[str, bytes] | None:
    """Of the body. If there are several, the one that costs least."""
    found = _digests(head, "Content-Digest", _ACTIVE)
    return next(iter(found.items()), None)


def wanted_digests(head: Head) -> dict[str, bytes]:
    """Of the whole, by algorithm; all of them are checked."""
    return {
        **_digests(head, "Repr-Digest", _ACTIVE),
        **_digests(head, TREE_FIELD, (TREE,)),
    }


def written_digests(found: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """The fields that say them."""
    written = [
        ("Repr-Digest", {a: found[a] for a in _ACTIVE if a in found}),
        (TREE_FIELD, {a: found[a] for a in (TREE,) if a in found}),
    ]
    return [(name, _dictionary(values)) for name, values in written if values]


def _dictionary(values: Mapping[str, bytes]) -> str:
    return http_sf.ser({name: (value, {}) for name, value in values.items()})


def _digests(head: Head, name: str, algorithms: tuple[str, ...]) -> dict[str, bytes]:
    """In the order of ``algorithms``. One that nobody here can check must not pass for
    one that was checked, so there has to be at least one that is known."""
    text = head.get(name.lower())
    if text is None:
        return {}
    example = f"{algorithms[0]}=:{base64.b64encode(bytes(32)).decode()}:"
    members = _parsed(name, text, example)
    found = {a: members[a] for a in algorithms if a in members}
    if not found:
        right = f"known are {', '.join(algorithms)}; write it like {example}"
        raise RefusedError(
            400, f"{name}: {right}", (("Want-" + name, f"{algorithms[0]}=10"),)
        )
    return {a: _sized(name, a, value) for a, value in found.items()}


def _parsed(name: str, text: str, example: str) -> Mapping[str, object]:
    try:
        found = http_sf.parse(text.encode("ascii"), tltype="dictionary")
    except ValueError:
        refuse(400, name, text, f"write it like {example}")
    assert isinstance(found, dict)
    return {
        key: member[0] if isinstance(member, tuple) else member
        for key, member in found.items()
    }


def _sized(name: str, algorithm: str, value: object) -> bytes:
    size = _SIZES[algorithm]
    if not isinstance(value, bytes) or len(value) != size:
        raise RefusedError(
            400, f"{name}: {algorithm} has {size} bytes, in base64 between colons"
        )
    return value


def upload_checksum(head: Head) -> tuple[str, bytes] | None:
    """``Upload-Checksum: sha1 BASE64`` of tus, of the body."""
    text = head.get("upload-checksum")
    if text is None:
        return None
    name, _, encoded = text.partition(" ")
    algorithm = CHECKSUMS.get(name)
    if algorithm is None:
        known = ", ".join(CHECKSUMS)
        raise RefusedError(
            400, f"Upload-Checksum: {shown(name)} is not known; known are {known}"
        )
    return algorithm, _sized("Upload-Checksum", algorithm, _decoded(encoded))


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded.encode("ascii"), validate=True)
    except ValueError:
        return None
