"""The tree hash against its definition, and against vectors of Amazon S3 Glacier."""

import hashlib
import os

import pytest
from hypothesis import given, settings, strategies as st

from penstock.uploads import leaves
from penstock.uploads.digests import (
    ALGORITHMS,
    ShortFileError,
    differing,
    digests_of,
)
from penstock.uploads.leaves import LEAF_BYTES, TreeHash

LEAF = 4  # in most tests, so that files of many leaves are small


def by_definition(data: bytes, leaf: int) -> bytes:
    """Levels from the leaves up: pairs are joined, an odd one goes up as it is."""
    cut = [data[at : at + leaf] for at in range(0, len(data), leaf)] or [b""]
    level = [hashlib.sha256(one).digest() for one in cut]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [
            hashlib.sha256(b"".join(pair)).digest() if len(pair) == 2 else pair[0]
            for pair in pairs
        ]
    return level[0]


@pytest.fixture
def _small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaves, "LEAF_BYTES", LEAF)


@pytest.mark.usefixtures("_small_leaves")
@pytest.mark.parametrize("n_bytes", range(17 * LEAF + 2))
def test_the_root_is_as_defined_for_every_number_of_leaves(n_bytes: int) -> None:
    data = bytes(range(n_bytes))
    tree = TreeHash()
    tree.update(data)
    assert tree.digest() == by_definition(data, LEAF)


@given(st.lists(st.binary(max_size=3 * LEAF), max_size=12))
def test_the_root_does_not_depend_on_how_the_bytes_came(pieces: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "LEAF_BYTES", LEAF)
        tree = TreeHash()
        for piece in pieces:
            tree.update(piece)
            tree.digest()  # asks, changes nothing
        assert tree.digest() == by_definition(b"".join(pieces), LEAF)


def test_the_root_of_one_leaf_is_its_sha_256() -> None:
    for data in (b"", b"x", bytes(LEAF_BYTES)):
        tree = TreeHash()
        tree.update(data)
        assert tree.digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("n_leaves", "root"),
    [
        # What botocore and other clients of the service test with.
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "9bc1b2a288b26af7257a36277ae3816a7d4f16e89c1e7e77d0a5c48bad62b360"),
        (2, "560c2c9333c719cb00cfdffee3ba293db17f58743cdd1f7e4055373ae6300afa"),
        (3, "70239f4f2ead7561f69d48b956b547edef52a1280a93c262c0b582190be7db17"),
        (4, "9491cb2ed1d4e7cd53215f4017c23ec4ad21d7050a1e6bb636c4f67e8cddb844"),
    ],
)
def test_known_roots_of_files_full_of_a(n_leaves: int, root: str) -> None:
    tree = TreeHash()
    for _ in range(n_leaves):
        tree.update(b"a" * LEAF_BYTES)
    assert tree.digest().hex() == root


@settings(max_examples=20)
@given(st.data())
def test_a_range_of_a_file_is_read_once_for_all_digests(data: st.DataObject) -> None:
    content = bytes(range(256)) * 10_000
    fd = os.memfd_create("file")
    try:
        os.write(fd, content)
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
        found = digests_of(fd, start, end, ALGORITHMS)
    finally:
        os.close(fd)
    part = content[start:end]
    assert found == {
        "sha1": hashlib.sha1(part).digest(),
        "sha-256": hashlib.sha256(part).digest(),
        "sha-512": hashlib.sha512(part).digest(),
        "sha256-tree-1m": by_definition(part, LEAF_BYTES),
    }


def test_a_file_that_ends_early_is_an_error_and_no_digest() -> None:
    fd = os.memfd_create("file")
    try:
        os.write(fd, b"1234")
        with pytest.raises(ShortFileError):
            digests_of(fd, 0, 5, ["sha-256"])
    finally:
        os.close(fd)


def test_what_differs_is_named() -> None:
    found = {"sha-256": b"1", "sha-512": b"2"}
    assert differing({"sha-256": b"1"}, found) == []
    assert differing({"sha-256": b"1", "sha-512": b"x"}, found) == ["sha-512"]
