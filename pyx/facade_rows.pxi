"""What one row of the client table says, as Python sees it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from activity cimport activity_has
from addresstext cimport ADDRESS_TEXT_BYTES, address_write
from bucket cimport bucket_fill_bytes
from c_atomic cimport atomic_load_i32, atomic_load_i64, atomic_load_u32
from clients cimport (
    CLIENT_OVERFLOW, CLIENT_SERVER, LIMITER_CLIENT, LIMITER_GROUP, LIMITER_NONE,
    LIMITER_SERVER, Client, Clients, client_kind, clients_at, clients_cap_bps,
    clients_id,
)
from feed cimport FeedTerms, feed_terms
from holders cimport holders_connections, holders_transfers
from keymap cimport KEY_ADDRESS
from limiter cimport LIMITER_COUNT, LIMITER_NAMES, limiter_of_client, limiter_own
from limits cimport CLIENT_ID_BYTES_MAX
from tree cimport Tree
from window cimport window_jitter, window_mean_bps

LIMITERS = tuple(LIMITER_NAMES[i].decode() for i in range(LIMITER_COUNT))
OVERFLOW_ID = "(overflow)"
BREAKERS = ("closed", "degraded", "half_open", "frozen")  # BreakerState
cdef object new_tuple = tuple.__new__


class ClientRow(NamedTuple):
    client_id: str
    target_bps: int
    source: str
    bytes_total: int
    requests_total: int
    connections: int
    transfers: int
    parked: int
    fill_bytes: int
    mean_bps: int
    jitter_ratio: float | None
    last_active_ns: int
    rate_bps: int
    effective_bps: int
    ceil_bps: int
    min_bps: int
    weight: int
    burst_bytes: int
    peak_bps: int
    group: str | None
    cap_bps: int
    limited_by: str
    mode: str
    adaptive_bps: int
    controller_bps: int
    breaker_bps: int
    breaker: str


class TransferRow(NamedTuple):
    engine: int
    status: int
    total_bytes: int
    moved_bytes: int
    limited_by: str


class GroupRow(NamedTuple):
    name: str
    rate_bps: int
    ceil_bps: int
    min_bps: int
    weight: int
    burst_bytes: int
    peak_bps: int
    source: str
    effective_bps: int
    bytes_total: int
    mean_bps: int
    active: int
    backlogged: int
    cap_bps: int
    limited_by: str


class ServerRow(NamedTuple):
    rate_bps: int
    effective_bps: int
    cap_bps: int
    limited_by: str
    mean_bps: int
    bytes_total: int
    active: int
    backlogged: int


cdef struct RowCopy:
    # Of one moment: meanwhile the row could go to another client.
    Client client
    FeedTerms terms
    uint32_t row
    int64_t cap_bps
    uint8_t limited_by       # Limiter
    char id[CLIENT_ID_BYTES_MAX]


cdef void copy_row(Clients* t, uint32_t row, RowCopy* into) noexcept nogil:
    """The mutex is held."""
    into.client = clients_at(t, row)[0]
    into.terms = feed_terms(&t.feeds[row])
    into.row = row
    into.cap_bps = clients_cap_bps(t, row)
    into.limited_by = limiter_of_client(t, row, activity_has(&t.short_of, row))
    memcpy(into.id, clients_id(t, row), CLIENT_ID_BYTES_MAX)


cdef str name_of(const RowCopy* copy):
    cdef char text[ADDRESS_TEXT_BYTES]
    cdef size_t n
    if copy.row == CLIENT_OVERFLOW:
        return OVERFLOW_ID
    if client_kind(&copy.client) == KEY_ADDRESS:
        n = address_write(copy.client.key, text)
        return text[:n].decode("ascii")
    return copy.id[:copy.client.id_n].decode("utf-8")


cdef client_row(const RowCopy* copy, dict groups, int64_t now):
    cdef const Client* c = &copy.client
    cdef double jitter = window_jitter(&c.window, now)
    # Not ClientRow(…): that is a Python function, and there are many rows.
    return new_tuple(ClientRow, (
        name_of(copy), c.allowed.rate_bps, SOURCES[c.source],
        atomic_load_i64(&c.bytes_total), atomic_load_i64(&c.requests_total),
        holders_connections(&c.holders), holders_transfers(&c.holders),
        atomic_load_i32(&c.parked), bucket_fill_bytes(&c.bucket, now),
        window_mean_bps(&c.window, now), None if jitter < 0 else jitter,
        atomic_load_i64(&c.last_active_ns),
        c.allowed.rate_bps, atomic_load_i64(&c.bucket.rate_bps), c.allowed.ceil_bps,
        c.allowed.min_bps, c.allowed.weight, c.allowed.burst_bytes, c.allowed.peak_bps,
        groups.get(c.parent), copy.cap_bps, LIMITERS[copy.limited_by],
        MODES[c.allowed.mode], copy.terms.target_bps, copy.terms.controller_bps,
        copy.terms.breaker_bps, BREAKERS[copy.terms.breaker]))


cdef group_row(Clients* t, const Tree* tree, str name, uint32_t row, int64_t now):
    cdef Client* c = clients_at(t, row)
    cdef uint32_t at = tree.children[row]
    cdef uint32_t active = 0, backlogged = 0
    cdef uint8_t by = LIMITER_NONE
    while at:
        active += 1
        backlogged += tree.members[at - 1].backlogged
        at = tree.members[at - 1].next
    if backlogged and c.bound != LIMITER_NONE:
        by = LIMITER_SERVER if c.bound == LIMITER_SERVER else limiter_own(t, row)
        by = LIMITER_GROUP if by == LIMITER_CLIENT else by
    return GroupRow(
        name, c.allowed.rate_bps, c.allowed.ceil_bps, c.allowed.min_bps,
        c.allowed.weight, c.allowed.burst_bytes, c.allowed.peak_bps, SOURCES[c.source],
        atomic_load_i64(&c.bucket.rate_bps), atomic_load_i64(&c.bytes_total),
        window_mean_bps(&c.window, now), active, backlogged, c.cap_bps, LIMITERS[by])


cdef uint8_t limiter_of_server(const Clients* t, const Tree* tree) noexcept:
    """Its own limit, if some client got less in the last pass because of it."""
    cdef uint32_t i
    cdef uint8_t own = limiter_own(t, CLIENT_SERVER)
    for i in range(tree.members_n):
        if tree.members[i].backlogged and tree.members[i].bound == LIMITER_SERVER:
            return LIMITER_SERVER if own == LIMITER_CLIENT else own
    return LIMITER_NONE


cdef int64_t mean_bps_of_all(const Clients* t, int64_t now) noexcept:
    cdef int64_t total = 0
    cdef uint32_t row
    for row in range(CLIENT_OVERFLOW, atomic_load_u32(&t.used)):
        total += window_mean_bps(&t.rows[row].window, now)
    return total


cdef server_row(Clients* t, const Tree* tree, int64_t bytes_total, int64_t now):
    cdef Client* c = clients_at(t, CLIENT_SERVER)
    return ServerRow(
        c.allowed.rate_bps, atomic_load_i64(&c.bucket.rate_bps), c.cap_bps,
        LIMITERS[limiter_of_server(t, tree)], mean_bps_of_all(t, now), bytes_total,
        tree.members_n, tree.backlogged_n)
