"""Clients by what they were sent, as the engine tells Prometheus of them."""

from typing import NamedTuple, Protocol


class ClientSums(NamedTuple):
    """What several clients add up to.

    Args:
        numbers: by the names of ``CLIENT_METRICS``; a limit that there is not is
            infinite.
        limited_by: how many each cause keeps from more; only those that there are.
        jitter: the worst; None: none of them has any.
    """

    clients: int
    numbers: dict[str, float]
    limited_by: dict[str, int]
    jitter: float | None = None


class Ranking(Protocol):
    """One walk over the rows. Each is read once, so that the best and the others
    together are all clients, as they were in one moment, or nearly so."""

    @property
    def kept(self) -> int:
        """How many the best are."""

    def look(self, rows: int) -> bool:
        """Look at so many rows more, a fraction of a microsecond each. False when there
        are no others, and only then the rest may be called."""

    def series(self, name: str, metric: str, first: int, rows: int) -> bytes:
        """Lines of Prometheus' text, ``name`` with a label ``client_id``, for up to
        ``rows`` of the best from the ``first`` on; in no order. ``metric`` is one of
        ``CLIENT_METRICS``. Of clients that were sent as much, those with a limit of
        their own are better, then the older rows.

        Raises:
            ValueError: there is no such metric.
            MemoryError: no room for so many lines.
        """

    def series_limited_by(self, name: str, first: int, rows: int) -> bytes:
        """Likewise, with a second label ``limited_by`` and the number 1."""

    def series_jitter(self, name: str, first: int, rows: int) -> bytes:
        """Likewise, for those of the best who have a jitter."""

    @property
    def worst_jitter(self) -> float | None:
        """Of all clients that penstock keeps from more; None: of none."""

    def best(self) -> ClientSums: ...
    def others(self) -> ClientSums: ...
