"""Digests of what is in a file, by the names that clients give them."""

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from penstock.uploads.leaves import LEAF_BYTES, TreeHash

READ_BYTES = LEAF_BYTES  # at once: hashing takes longer than the calls for it


class Hasher(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


def _sha1() -> Hasher:
    """tus demands it; it finds damage, and no forgery."""
    return hashlib.sha1(usedforsecurity=False)


ALGORITHMS: Final[Mapping[str, Callable[[], Hasher]]] = {
    "sha1": _sha1,
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
    "sha256-tree-1m": TreeHash,
}


class ShortFileError(Exception):
    """The file ends before the range does."""


def digests_of(
    fd: int,
    start: int,
    end: int,
    algorithms: Iterable[str],
    proceed: Callable[[], None] = lambda: None,
) -> dict[str, bytes]:
    """Of ``[start, end)``, read once for all of them. Blocks: call it in a thread.

    Args:
        proceed: called now and then; raises when nobody waits any more.

    Raises:
        KeyError: an algorithm that is not in ALGORITHMS.
        ShortFileError: there are fewer bytes.
        OSError: they can not be read.
    """
    hashers = {name: ALGORITHMS[name]() for name in algorithms}
    if not hashers:
        return {}
    buffer = memoryview(bytearray(min(READ_BYTES, end - start)))
    while start < end:
        proceed()
        n = os.preadv(fd, [buffer[: end - start]], start)
        if n == 0:
            raise ShortFileError
        for hasher in hashers.values():
            hasher.update(buffer[:n])
        start += n
    return {name: hasher.digest() for name, hasher in hashers.items()}


def differing(want: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    """Names of the algorithms whose digest is another than wanted."""
    return [name for name in want if not hmac.compare_digest(want[name], found[name])]
