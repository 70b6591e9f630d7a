"""What one row of the client table says, as Python sees it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from bucket cimport bucket_fill_bytes
from c_atomic cimport atomic_load_i32, atomic_load_i64
from clients cimport (
    CLIENT_OVERFLOW, CLIENT_SERVER, LIMITER_CLIENT, LIMITER_DISK, LIMITER_GROUP,
    LIMITER_NONE, LIMITER_PEER, LIMITER_QUOTA, LIMITER_SCHEDULE, LIMITER_SERVER,
    Client, Clients, clients_at, clients_id,
)
from tree cimport Tree
from window cimport window_mean_bps

LIMITERS = {
    LIMITER_NONE: "none", LIMITER_CLIENT: "client", LIMITER_GROUP: "group",
    LIMITER_SERVER: "server", LIMITER_PEER: "peer", LIMITER_DISK: "disk",
    LIMITER_SCHEDULE: "schedule", LIMITER_QUOTA: "quota"}
OVERFLOW_ID = "(overflow)"


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


cdef str name_of(Clients* t, uint32_t row):
    cdef Client* client = clients_at(t, row)
    if row == CLIENT_OVERFLOW:
        return OVERFLOW_ID
    if client.by_address:
        return printed_address((<char*>client.address)[:16])
    return clients_id(t, row)[:client.id_n].decode("utf-8")


cdef str limited_by(const Client* c):
    """What keeps it from more now: tokens, then whatever a transfer waits for."""
    if atomic_load_i32(&c.transfers) == 0:
        return LIMITERS[LIMITER_NONE]
    if atomic_load_i32(&c.parked) == 0 and not c.backlogged:
        return LIMITERS[c.waits_for]
    if c.bound in (LIMITER_NONE, LIMITER_CLIENT):
        return LIMITERS[own_limiter(c)]
    return LIMITERS[c.bound]


cdef uint8_t own_limiter(const Client* c) noexcept:
    """Of a node's own limits, the one that holds it."""
    if c.cap_bps and (c.allowed.rate_bps == 0 or c.cap_bps < c.allowed.rate_bps):
        return c.cap_by
    return LIMITER_CLIENT


cdef client_row(Clients* t, uint32_t row, dict groups, int64_t now):
    cdef Client* c = clients_at(t, row)
    return ClientRow(
        name_of(t, row), c.allowed.rate_bps, SOURCES[c.source],
        atomic_load_i64(&c.bytes_total), atomic_load_i64(&c.requests_total),
        atomic_load_i32(&c.connections), atomic_load_i32(&c.transfers),
        atomic_load_i32(&c.parked), bucket_fill_bytes(&c.bucket, now),
        window_mean_bps(&c.window, now), atomic_load_i64(&c.last_active_ns),
        c.allowed.rate_bps, atomic_load_i64(&c.bucket.rate_bps), c.allowed.ceil_bps,
        c.allowed.min_bps, c.allowed.weight, c.allowed.burst_bytes, c.allowed.peak_bps,
        groups.get(c.parent), c.cap_bps, limited_by(c))


cdef group_row(Clients* t, const Tree* tree, str name, uint32_t row, int64_t now):
    cdef Client* c = clients_at(t, row)
    cdef uint32_t at = tree.children[row]
    cdef uint32_t active = 0, backlogged = 0
    while at:
        active += 1
        backlogged += tree.members[at - 1].backlogged
        at = tree.members[at - 1].next
    by = LIMITER_NONE
    if backlogged:
        by = LIMITER_GROUP if c.bound in (LIMITER_NONE, LIMITER_CLIENT) else c.bound
        if by == LIMITER_GROUP and own_limiter(c) != LIMITER_CLIENT:
            by = own_limiter(c)
    return GroupRow(
        name, c.allowed.rate_bps, c.allowed.ceil_bps, c.allowed.min_bps,
        c.allowed.weight, c.allowed.burst_bytes, c.allowed.peak_bps, SOURCES[c.source],
        atomic_load_i64(&c.bucket.rate_bps), atomic_load_i64(&c.bytes_total),
        window_mean_bps(&c.window, now), active, backlogged, c.cap_bps, LIMITERS[by])
