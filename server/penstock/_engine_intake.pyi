"""Types of the engine's requests that Python answers (part of ``_engine``)."""

from penstock._engine import Engine

def intakes_fd(engine: Engine) -> int:
    """Readable when ``intakes_news`` has something."""

def intakes_news(engine: Engine) -> list[tuple[int, Intake | None]]:
    """By index: a new request, or (None) that an order to one has been carried out."""

class Intake:
    """A request that ``engine`` leaves to Python. Whoever forgets it ends its
    connection. Between an order and its end, only ``stop`` may be called."""

    @property
    def head(self) -> bytes:
        """``METHOD target``, then the fields, each with CRLF."""

    @property
    def client_id(self) -> str: ...
    @property
    def content_length(self) -> int | None: ...
    @property
    def chunked(self) -> bool: ...
    @property
    def body_left(self) -> int | None:
        """Bytes that are still to be received; None: only the next chunk says."""

    @property
    def received(self) -> tuple[int, str, int]:
        """Of the last order: bytes in the file; complete, enough, cut, timeout, stopped
        or failed; errno of the latter (EBADMSG: the body's framing is broken)."""

    def receive(
        self, fd: int, offset: int, most_bytes: int, direct_fd: int = -1
    ) -> None:
        """Order: move the body into the file ``fd``. With ``direct_fd``, the same file
        opened with O_DIRECT, large pieces may go to the disk past the page cache. Both
        stay open until the end is told."""

    def stop(self) -> None:
        """End the order; its end is told."""

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Head fields with CRLF each; Content-Length and Connection are added. The
        last call.

        Raises:
            ValueError: more than 11 KB.
        """

    def drop(self) -> None:
        """The last call, instead of an answer: end the connection."""
