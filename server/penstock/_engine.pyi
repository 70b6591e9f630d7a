"""Types of the compiled engine (``pyx/_engine.pyx``).

The engine is the only part of penstock that moves bytes. Python hands it
descriptors and plain numbers, and afterwards reads counters.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from penstock._engine_intake import (
    Intake as Intake,
    intakes_fd as intakes_fd,
    intakes_news as intakes_news,
)
from penstock._engine_rows import (
    ClientRow as ClientRow,
    FeedbackRow as FeedbackRow,
    FeedChange as FeedChange,
    GroupRow as GroupRow,
    ServerRow as ServerRow,
    SharePass as SharePass,
    TransferRow as TransferRow,
)
from penstock.allowances import (
    Allowance,
    BreakerState,
    Cap,
    ClientEntry,
    GroupEntry,
    Source,
)
from penstock.feedback import FeedbackRules
from penstock.identity_rules import IdentityRules
from penstock.ranking import Ranking
from penstock.usage import Sent

UNLIMITED: int  # 0, the rate that means "no limit"
MAX_RATE_BPS: int  # the largest accepted rate, bytes per second
MAX_CLIENT_ID_BYTES: int  # longest client id, UTF-8 bytes
MAX_HEADER_NAME_BYTES: int  # longest name of the field that names clients
MAX_GROUPS: int
TRANSFERS_SHOWN_MAX: int
FIRST_BYTE_BOUNDS_NS: tuple[int, ...]  # upper bounds of the first-byte histogram
REFUSAL_CONNECTIONS: int  # beyond max_connections: told 503

CLIENT_METRICS: tuple[str, ...]  # numbers of a client that Prometheus is told

LIMITS: Mapping[str, tuple[int, int, int]]  # EngineLimits: (default, least, most)

class ClientTable:
    """The clients, their limits and buckets; shared by all engines.

    Raises:
        MemoryError: the rows could not be mapped.
        ValueError: ``rows`` or a rate is out of range.
    """

    def __init__(
        self, *, rows: int = 65536, default_rate_bps: int = 0, total_rate_bps: int = 0
    ) -> None: ...
    row_limit: int
    rows_used: int
    version: int  # grows by one with every change
    overflow_total: int  # clients that found the table full
    recycled_total: int  # rows that were given to another client

    def set_rate(self, client_id: str, rate_bps: int) -> int:
        """Set one client's limit (source "api"), live; returns the new version.

        Creates the row when the client is not known yet.

        Raises:
            ValueError: rate outside 1..MAX_RATE_BPS or unusable client_id.
            OverflowError: the table is full.
        """

    def set_client(
        self, client_id: str, allowed: Allowance, group: str | None, source: Source
    ) -> int:
        """Say all that one client is allowed, live; returns the new version.

        Raises:
            ValueError: a number, the id or the group is unusable (nothing changes).
            OverflowError: the table is full.
        """

    def set_group(self, name: str, allowed: Allowance, source: Source) -> int:
        """Likewise for a group, which is made if need be.

        Raises:
            ValueError: a number or the name is unusable.
            OverflowError: there are MAX_GROUPS.
        """

    def drop_group(self, name: str) -> int:
        """Its members become children of the server; returns the new version.

        Raises:
            ValueError: there is no such group.
        """

    def configure(
        self,
        *,
        default: Allowance,
        total: Allowance,
        groups: Sequence[GroupEntry] = (),
        clients: Sequence[ClientEntry] = (),
        default_group: str | None = None,
        identity: IdentityRules | None = None,
    ) -> int:
        """Apply a whole configuration; returns the new version.

        ``identity`` says how clients are told apart (default: by token and address);
        the clients and groups of its networks are among those that are listed.

        Tokens that are no longer listed stop identifying their client. A client or
        group that was set by "file" before and is not listed returns to the default or
        ends; one that was set by "api" and is not listed stays.

        Raises:
            ValueError: a number, a name or a digest is unusable (nothing changes).
            OverflowError: more clients than free rows, more groups than MAX_GROUPS
                (nothing changes).
        """

    def set_cap(self, client_id: str, cap_bps: int, by: Cap | None = None) -> None:
        """One more limit beside the configured ones; 0 takes it away.

        Raises:
            ValueError: the rate or the id is unusable.
            OverflowError: the table is full.
        """

    def set_group_cap(self, name: str, cap_bps: int, by: Cap | None = None) -> None:
        """Likewise.

        Raises:
            ValueError: the rate is unusable, or there is no such group.
        """

    def set_total_cap(self, cap_bps: int, by: Cap | None = None) -> None: ...
    def set_default_cap(self, cap_bps: int, by: Cap | None = None) -> None:
        """Of each client that has no limit of its own; within a control pass."""

    feedback_changes_lost: int  # more than a pass can note
    followed: int  # clients that controllers follow now

    def feedback(self, client_id: str) -> FeedbackRow | None:
        """None: no controller follows it."""

    def set_feedback(self, rules: FeedbackRules) -> None: ...
    def feedback_rules(self) -> FeedbackRules:
        """Those that hold."""

    def feedback_changes(self) -> list[FeedChange]:
        """Since the last call."""

    def breaker_states(self) -> dict[BreakerState, int]:
        """How many followed clients are in each."""

    def release_breaker(self, client_id: str) -> bool:
        """Close it from the next control pass on; False: it was not open."""

    def usage(self) -> Usage:
        """A reader of what clients are sent. There can be one of them: what it has
        taken, another would miss."""

    def ranking(self, most: int) -> Ranking:
        """The ``most`` clients that were sent the most bytes, and all others as one.

        Raises:
            MemoryError: there is no room for as many.
        """

    def hold(self, client_id: str) -> HeldRow:
        """The row of a client, made if need be, for Python to pay from.

        Raises:
            ValueError: the id is unusable.
            OverflowError: the table is full.
        """

    def share(self) -> SharePass:
        """The control pass: divide what the server and its groups have among those who
        were active since the last one. To be called some ten times a second; costs
        what the active clients cost (microseconds for a few, a millisecond for
        thousands)."""

    def snapshot(self) -> list[ClientRow]: ...
    def find(self, client_id: str) -> ClientRow | None:
        """None: nobody of that name has been seen or configured.

        Raises:
            ValueError: the id is unusable.
        """

    def groups(self) -> list[GroupRow]: ...
    def server(self) -> ServerRow:
        """All clients together; costs a look at every row."""

    def set_pace(self, pace: bool) -> None:
        """Whether the kernel is told to spread out what limited clients are sent
        (SO_MAX_PACING_RATE)."""

    def set_explain(self, explain: bool) -> None:
        """Whether responses say, in a field ``Penstock-Limit``, what their client's
        rate comes from."""
    def default_rate_bps(self) -> int: ...
    def total_rate_bps(self) -> int: ...

class Usage:
    def take(self) -> list[Sent]:
        """Of every client that was sent something since the last call."""

class HeldRow:
    """A row that is not given to another client until ``release``."""

    def quantum_bytes(self) -> int:
        """What one grant should be at the rate of now."""

    def take(self, n_bytes: int) -> int:
        """0: granted, and charged to the client, its group and the server. Else nothing
        is, and there will be tokens in so many nanoseconds.

        Raises:
            ValueError: not 1 byte to 1 MiB.
        """

    def refund(self, n_bytes: int) -> None:
        """Undo the charge of bytes that were not moved."""

    def settle(self, n_bytes: int) -> None:
        """Charged bytes were moved: they count for the client."""

    def release(self) -> None:
        """A second time it does nothing."""

class EngineLimits(TypedDict, total=False):
    """Plain numbers for one engine; a missing key takes the engine's default."""

    max_connections: int  # 16384
    max_request_line_bytes: int  # 8192
    max_header_bytes: int  # 32768, all header lines of one request together
    max_headers: int  # 100
    max_ranges: int  # 16
    max_body_bytes: int  # 65536, of a request body that is read and discarded
    idle_timeout_ns: int  # 60 s
    header_timeout_ns: int  # 10 s
    write_timeout_ns: int  # 60 s without any progress of a granted write
    linger_timeout_ns: int  # 2 s
    busy_poll_us: int  # 0; of the ring (Linux 6.9)
    transmit: int  # 0 auto, 1 copy, 2 sendfile, 3 splice, 4 zerocopy
    small_file_bytes: int  # 16384: up to this a file is sent from memory
    cache_entries: int  # 4096 open files
    cache_bytes: int  # 67108864: memory for the bodies of small files
    cache_revalidate_ns: int  # 1 s
    pipes: int  # 8
    pipe_bytes: int  # 1048576
    receive_buffers: int  # 1024, a power of two
    receive_buffer_bytes: int  # 4096
    sq_entries: int  # 1024
    iowq_workers: int  # 4
    show_dotfiles: int  # 0 or 1
    max_intakes: int  # 0: requests left to Python at once; more are answered 503
    write_path: int  # 0 auto, 1 splice, 2 copy, 3 direct
    body_timeout_ns: int  # 30 s without a byte of a body that is wanted

class EngineStatistics(TypedDict):
    index: int
    cpu: int
    state: Literal["starting", "serving", "draining", "stopped"]
    connections: int  # open now (= slots in use)
    connections_limit: int
    connections_accepted_total: int
    connections_refused_total: int  # answered 503: no slot free
    accept_errors_total: int  # EMFILE and the like
    requests_total: int
    requests_reused_total: int  # of them: on a connection used before
    requests_in_progress: int
    responses_total: dict[int, int]  # by status code
    encoded_total: dict[str, int]  # responses made from a sidecar, by encoding
    parse_errors_total: int
    forwarded_ignored_total: int  # requests of proxies that named no usable source
    transfers: int
    transfers_parked: int
    bytes_sent_total: int
    bytes_spliced_total: int
    zerocopy_sends_total: int
    reads_cold_total: int
    reads_ahead_total: int
    grants_total: int
    grants_early_total: int  # of them: on debt, of transfers that begin
    parks_total: int
    sensed_total: int
    sensing_seconds_total: float
    first_byte_counts: list[int]  # one per bound, and the last one above all
    first_byte_sum_ns: int
    timeouts_idle_total: int
    timeouts_header_total: int
    timeouts_write_total: int
    timeouts_body_total: int
    intakes: int  # requests that Python has not answered yet
    bytes_received_total: int  # of bodies that Python asked for
    bytes_past_cache_total: int  # of these, written to the disk itself
    blocks: int  # buffers of such writes in use
    blocks_limit: int
    pipes: int  # pipes out of the pool now
    pipes_limit: int
    receive_buffers: int  # provided buffers held by connections now
    receive_buffers_limit: int
    pending_bytes: int  # memory for input of later requests
    pending_cut_total: int
    sqes_in_flight: int  # beyond the engine's own standing ones
    cache_entries: int
    cache_bytes: int
    cache_hits_total: int
    cache_misses_total: int
    cache_evictions_total: int
    sidecars_stale_total: int  # found older than their originals, and not used
    loops_total: int
    cqes_total: int
    cq_overflows_total: int
    letters_dropped_total: int  # mailbox letters that found a full box

class Engine:
    """One ring on one pinned thread.

    ``run`` is called once, in the thread that is to own the ring, and blocks
    without the GIL until ``stop`` has drained it.

    Args:
        root_fd: a directory descriptor; nothing outside of it is ever opened.
            Duplicated by the engine.
        listen_fds: listening sockets, duplicated by the engine.
        media_types: lower-case extension without the dot -> Content-Type value.
        precompressed: encodings ("br", "gzip", "zstd") whose sidecars are sent to
            who accepts them, best first.
        delegates: paths; requests of them, and of what is below, other than GET are
            left to Python (``intakes_news``).

    Raises:
        ValueError: a limit is out of range, or an encoding unknown or listed twice
            (the message names it).
        OSError: no eventfd, no memory.
    """

    def __init__(
        self,
        *,
        index: int,
        cpu: int,
        root_fd: int,
        listen_fds: Sequence[int],
        clients: ClientTable,
        media_types: Mapping[str, str],
        precompressed: Sequence[str] = (),
        delegates: Sequence[str] = (),
        limits: EngineLimits | None = None,
    ) -> None: ...
    event_fd: int  # readable when events() has something
    def run(self) -> None:
        """Create the ring, serve, drain, destroy the ring.

        Does not set the thread's affinity: the caller does (and restores it).

        Raises:
            OSError: the ring could not be set up; strerror names the remedy.
            RuntimeError: called twice.
        """

    def stop(self, drain_ns: int) -> None:
        """Stop accepting, finish what runs, at most ``drain_ns``; thread-safe."""

    def events(self) -> list[tuple[str, int]]:
        """Take the pending events: ("ready", 0), ("accept_paused", errno),
        ("accept_resumed", 0), ("draining", connections), ("stopped", cut)."""

    def transfers(self, client_id: str, most: int = ...) -> list[TransferRow]:
        """Up to ``most`` of what one client is being sent by this engine; thread-safe,
        a moment old.

        Raises:
            ValueError: the id is unusable.
        """

    def statistics(self) -> EngineStatistics:
        """A snapshot of the counters; thread-safe, no locking."""

class UringProbe(TypedDict):
    errno: int  # 0, or why io_uring_setup failed
    setup_flags: dict[str, bool]  # SINGLE_ISSUER, DEFER_TASKRUN, SUBMIT_ALL, ...
    features: dict[str, bool]  # EXT_ARG, NODROP, ...
    opcodes: dict[str, bool]  # ACCEPT, RECV, SEND, SENDMSG, SPLICE, OPENAT2, ...
    provided_buffer_ring: bool

def probe_io_uring() -> UringProbe:
    """Ask the running kernel what the engine would use; never raises."""
