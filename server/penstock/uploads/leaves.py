"""``sha256-tree-1m``: SHA-256 over leaves of 1 MiB, joined in pairs up to one root; an
odd one goes up as it is (the tree hash of Amazon S3 Glacier).

Leaf and node are not told apart in it, so that a root says something only together with
the length, which the ledger has, too.
"""

import hashlib

LEAF_BYTES = 1 << 20


class TreeHash:
    """Like an object of hashlib. It holds a leaf's state and a node for each level."""

    def __init__(self) -> None:
        self._leaf = hashlib.sha256()
        self._in_leaf = 0
        self._n_leaves = 0
        self._nodes: list[bytes] = []  # one for each bit that _n_leaves has, high first

    def update(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view.nbytes:
            if self._in_leaf == LEAF_BYTES:
                self._end_leaf()
            head = view[: LEAF_BYTES - self._in_leaf]
            self._leaf.update(head)
            self._in_leaf += head.nbytes
            view = view[head.nbytes :]

    def digest(self) -> bytes:
        """The root; of nothing, the SHA-256 of nothing."""
        node = self._leaf.digest()  # never empty, but for an empty file
        for left in reversed(self._nodes):
            node = _join(left, node)
        return node

    def _end_leaf(self) -> None:
        node = self._leaf.digest()
        self._n_leaves += 1
        pairs = self._n_leaves
        while pairs % 2 == 0:
            node = _join(self._nodes.pop(), node)
            pairs //= 2
        self._nodes.append(node)
        self._leaf = hashlib.sha256()
        self._in_leaf = 0


def _join(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(left + right).digest()
