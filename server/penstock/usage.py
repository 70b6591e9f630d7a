"""What clients were sent lately, as the engine counts it for quotas."""

from typing import NamedTuple, Protocol


class Sent(NamedTuple):
    """Bytes that one client was sent since they were counted last."""

    client_id: str
    n_bytes: int
    group: str | None = None
    is_default: bool = True  # it has no limit of its own
    cap_bps: int = 0  # that its row has now; 0: none


class Usage(Protocol):
    def take(self) -> list[Sent]:
        """Of those who were sent something since the last call, or since this reader
        was made. A counter that began anew, because its row was given to another
        client, is counted from zero."""
