"""How much of the folder of uploads each client holds: of everything that has a part
file, its length, or what it has so far when that is not known.

What is finished is a file like any other: ``reserve_free_bytes`` bounds these.
"""

from dataclasses import dataclass, field

from penstock.uploads.model import RefusedError

UPLOADS_OF_CLIENT_MAX = 10_000  # at a time: a tenth of what the ledger remembers


@dataclass(frozen=True)
class StoreLimits:
    """In bytes, and the seconds that an upload is kept with which nobody goes on."""

    max_upload_bytes: int
    max_client_bytes: int
    max_total_bytes: int
    reserve_free_bytes: int
    expire_after: float


@dataclass(slots=True)
class _Held:
    n_bytes: int = 0
    uploads: int = 0


@dataclass
class Space:
    limits: StoreLimits
    total_bytes: int = 0
    _held: dict[str, tuple[str, int]] = field(default_factory=dict)
    _by_owner: dict[str, _Held] = field(default_factory=dict)

    def hold(self, upload_id: str, owner: str, n_bytes: int) -> None:
        """From now on so much, instead of what it was.

        Raises:
            RefusedError: 413 too much for one upload, 507 for its owner or for all.
        """
        if n_bytes > self.limits.max_upload_bytes:
            raise RefusedError(413, "larger than an upload may be")
        if n_bytes > self.most(upload_id, owner):
            raise RefusedError(507, "more bytes than may be uploaded at a time")
        if (
            upload_id not in self._held
            and self._by_owner.get(owner, _Held()).uploads >= UPLOADS_OF_CLIENT_MAX
        ):
            raise RefusedError(507, "more uploads than a client may have at a time")
        self.restore(upload_id, owner, n_bytes)

    def most(self, upload_id: str, owner: str) -> int:
        """Bytes that ``hold`` would allow."""
        _, mine = self._held.get(upload_id, (owner, 0))
        of_others = self._by_owner.get(owner, _Held()).n_bytes - mine
        return max(
            0,
            min(
                self.limits.max_upload_bytes,
                self.limits.max_client_bytes - of_others,
                self.limits.max_total_bytes - (self.total_bytes - mine),
            ),
        )

    def held(self, owner: str) -> tuple[int, int]:
        """How many uploads, and of how many bytes."""
        account = self._by_owner.get(owner, _Held())
        return account.uploads, account.n_bytes

    def holds(self, upload_id: str) -> bool:
        return upload_id in self._held

    def restore(self, upload_id: str, owner: str, n_bytes: int) -> None:
        """``hold`` of what was allowed before."""
        self.free(upload_id)
        self._held[upload_id] = (owner, n_bytes)
        account = self._by_owner.setdefault(owner, _Held())
        account.n_bytes += n_bytes
        account.uploads += 1
        self.total_bytes += n_bytes

    def free(self, upload_id: str) -> None:
        if upload_id not in self._held:
            return
        owner, n_bytes = self._held.pop(upload_id)
        account = self._by_owner[owner]
        account.n_bytes -= n_bytes
        account.uploads -= 1
        if not account.uploads:
            del self._by_owner[owner]
        self.total_bytes -= n_bytes
