"""Limits for bytes that Python moves itself: they come from the client's own bucket.

    with limiter.context(client_id) as context:
        await context.pay(len(chunk))

A context holds the client's row, so that it is not given to another client, and the
tokens that were taken and not used yet. Both go back when it is closed. One that is
dropped without that is a leak: a ResourceWarning says where it was made.
"""

import inspect
import logging
import warnings
from types import FrameType, TracebackType
from typing import Protocol, Self

import trio

log = logging.getLogger(__name__)

NS_PER_S = 1_000_000_000
# A wait for tokens looks again after so long: the rate may have been raised meanwhile.
RECHECK_NS = 100_000_000


class HeldRow(Protocol):
    """One row of the client table, which is not recycled until ``release``."""

    def quantum_bytes(self) -> int:
        """What one grant should be at the rate of now."""

    def take(self, n_bytes: int) -> int:
        """0: granted and charged. Else nothing is, and tokens are there in so many
        nanoseconds. Raises ValueError: fewer than 1 or more than any quantum."""

    def refund(self, n_bytes: int) -> None:
        """Undo the charge of bytes that were not moved."""

    def settle(self, n_bytes: int) -> None:
        """Charged bytes were moved: count them."""

    def release(self) -> None: ...


class Rows(Protocol):
    def hold(self, client_id: str) -> HeldRow:
        """Makes the row when the client is not known yet. Raises OverflowError: the
        table is full; ValueError: this can be no client."""


class Limiter:
    """Makes the contexts and counts them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.open = 0
        self.leaked_total = 0

    def context(self, client_id: str) -> "RateContext":
        """Always in a ``with``; a test of the repository looks for others.

        Raises:
            ValueError: this can be no client.
            OverflowError: the client table is full.
        """
        return RateContext(self, self._rows.hold(client_id), client_id)


class RateContext:
    """The right to take tokens of one client, until it is closed."""

    __slots__ = ("_file", "_held_bytes", "_limiter", "_line", "_row", "client_id")

    def __init__(self, limiter: Limiter, row: HeldRow, client_id: str) -> None:
        self.client_id = client_id
        self._limiter = limiter
        self._row: HeldRow | None = row
        self._held_bytes = 0
        self._file, self._line = _caller(inspect.currentframe())
        limiter.open += 1

    @property
    def held_bytes(self) -> int:
        """Taken, and neither settled nor given back yet."""
        return self._held_bytes

    def take(self, n_bytes: int) -> int:
        """0: granted, and held until it is settled or given back. Else nothing was, and
        there are tokens in so many nanoseconds.

        Raises:
            ValueError: fewer than 1 or more bytes than any quantum (1 MiB).
            RuntimeError: the context is closed.
        """
        wait_ns = self._open_row().take(n_bytes)
        if wait_ns == 0:
            self._held_bytes += n_bytes
        return wait_ns

    def settle(self, n_bytes: int) -> None:
        """Of what is held, ``n_bytes`` were moved: they count for the client.

        Raises:
            ValueError: so many are not held.
            RuntimeError: the context is closed.
        """
        row = self._open_row()
        self._let_go(n_bytes)
        row.settle(n_bytes)

    def refund(self, n_bytes: int) -> None:
        """Of what is held, ``n_bytes`` will not be moved: the client gets them back.

        Raises:
            ValueError: so many are not held.
            RuntimeError: the context is closed.
        """
        row = self._open_row()
        self._let_go(n_bytes)
        row.refund(n_bytes)

    async def pay(self, n_bytes: int) -> None:
        """Wait for ``n_bytes``, however many, and count them as moved. Cancelled, it
        gives back what it had of them.

        Raises:
            ValueError: fewer than 0 bytes.
            RuntimeError: the context is closed.
        """
        if n_bytes < 0:
            raise ValueError(f"{n_bytes} is no number of bytes")
        row = self._open_row()
        paid = 0
        try:
            await trio.lowlevel.checkpoint()
            while paid < n_bytes:
                piece = min(n_bytes - paid, row.quantum_bytes())
                await self._wait_for(piece)
                paid += piece
            self.settle(paid)
            paid = 0
        finally:
            if paid and self._row is not None:
                self.refund(paid)

    def close(self) -> None:
        """Give back what is held; a second time does nothing."""
        row, self._row = self._row, None
        if row is not None:
            if self._held_bytes:
                row.refund(self._held_bytes)
                self._held_bytes = 0
            row.release()
            self._limiter.open -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_row", None) is None:
            return
        self._limiter.leaked_total += 1
        self.close()
        text = f"rate context of {self.client_id!r} was never closed"
        log.error("%s (made at %s:%d)", text, self._file, self._line)
        warnings.warn_explicit(
            text, ResourceWarning, self._file, self._line, source=self
        )

    async def _wait_for(self, n_bytes: int) -> None:
        wait_ns = self.take(n_bytes)
        while wait_ns > 0:
            await trio.sleep(min(wait_ns, RECHECK_NS) / NS_PER_S)
            wait_ns = self.take(n_bytes)

    def _open_row(self) -> HeldRow:
        if self._row is None:
            raise RuntimeError(f"the rate context of {self.client_id!r} is closed")
        return self._row

    def _let_go(self, n_bytes: int) -> None:
        if not 0 <= n_bytes <= self._held_bytes:
            raise ValueError(f"{n_bytes} of {self._held_bytes} bytes are not held")
        self._held_bytes -= n_bytes


def _caller(frame: FrameType | None) -> tuple[str, int]:
    """File and line of the first frame outside of this module."""
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame else (__file__, 0)
