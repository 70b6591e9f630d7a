"""What the control plane uses of the engine, as structural types.

``penstock._engine`` fits them; so do the fakes of the tests.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from penstock._engine import ClientRow, EngineStatistics

# A client's id, its rate or None for the default, the digests of its tokens.
ClientEntry = tuple[str, int | None, Sequence[bytes]]


class EngineHandle(Protocol):
    @property
    def event_fd(self) -> int: ...
    def run(self) -> None: ...
    def stop(self, drain_ns: int) -> None: ...
    def events(self) -> list[tuple[str, int]]: ...
    def statistics(self) -> "EngineStatistics": ...


class Clients(Protocol):
    @property
    def row_limit(self) -> int: ...
    @property
    def rows_used(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def overflow_total(self) -> int: ...
    def set_rate(self, client_id: str, rate_bps: int) -> int: ...
    def configure(
        self,
        *,
        default_rate_bps: int,
        total_rate_bps: int,
        clients: Sequence[ClientEntry],
    ) -> int: ...
    def snapshot(self) -> "list[ClientRow]": ...
