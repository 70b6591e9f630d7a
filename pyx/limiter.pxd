"""Limiter: what keeps a client, or one of its transfers, from more.

Asked by whoever wants to know why something is slow; nothing here decides anything.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from c_atomic cimport atomic_load_i32, atomic_load_i64
from clients cimport (
    LIMITER_CLIENT, LIMITER_DISK, LIMITER_GROUP, LIMITER_NONE, LIMITER_PEER,
    LIMITER_POLICY, LIMITER_SERVER, Client, Clients, clients_cap_bps,
)
from holders cimport holders_transfers
from transfer cimport (
    TRANSFER_FILLING, TRANSFER_PARKED, TRANSFER_POLLING, TRANSFER_QUEUED,
)
from writer cimport Writer, writer_string, writer_u64


cdef extern from *:
    """
    static const char *const LIMITER_NAMES[] = {
        "none", "client", "group", "server", "peer", "disk", "schedule", "quota",
        "adaptive", "controller", "breaker", "policy"};
    """
    const char* LIMITER_NAMES[]

cdef enum:
    LIMITER_COUNT = LIMITER_POLICY + 1

cdef struct Explanation:
    # For the downloader: what its rate comes from, as its response begins.
    uint8_t by           # Limiter
    int64_t rate_bps     # 0: unlimited


cdef inline uint8_t limiter_own(const Clients* t, uint32_t row) noexcept nogil:
    """Of the node's own limits, the one that holds it."""
    cdef const Client* c = &t.rows[row]
    cdef int64_t cap_bps = clients_cap_bps(t, row)
    if cap_bps and (c.allowed.rate_bps == 0 or cap_bps < c.allowed.rate_bps):
        if t.senses and atomic_load_i64(&t.feeds[row].limit_bps) == cap_bps:
            return t.feeds[row].limit_by
        return c.cap_by if c.cap_bps == cap_bps else t.default_cap_by
    return LIMITER_CLIENT


cdef inline uint8_t limiter_of_tokens(const Clients* t, uint32_t row) noexcept nogil:
    """Whose tokens its transfers wait for, if they do."""
    cdef uint8_t bound = t.rows[row].bound
    if bound == LIMITER_GROUP or bound == LIMITER_SERVER:
        return bound
    return limiter_own(t, row)


cdef inline uint8_t limiter_of_client(
    const Clients* t, uint32_t row, bint short_of
) noexcept nogil:
    """Tokens, if it lacks them now or did lately (``short_of``: since the last control
    pass); else whatever a transfer waited for last."""
    cdef const Client* c = &t.rows[row]
    if holders_transfers(&c.holders) == 0:
        return LIMITER_NONE
    if atomic_load_i32(&c.parked) or c.backlogged or short_of:
        return limiter_of_tokens(t, row)
    return c.waits_for


cdef inline uint8_t limiter_of_transfer(
    const Clients* t, uint32_t row, uint8_t state
) noexcept nogil:
    """``state`` is the transfer's."""
    if state == TRANSFER_PARKED:
        return limiter_of_tokens(t, row)
    if state == TRANSFER_POLLING:
        return LIMITER_PEER
    if state == TRANSFER_FILLING or state == TRANSFER_QUEUED:
        return LIMITER_DISK
    return LIMITER_NONE


cdef inline Explanation limiter_explain(
    const Clients* t, uint32_t row
) noexcept nogil:
    cdef Explanation x
    x.rate_bps = atomic_load_i64(&t.rows[row].bucket.rate_bps)
    x.by = limiter_of_tokens(t, row) if x.rate_bps else LIMITER_NONE
    return x


cdef inline void limiter_write(Writer* w, const Explanation* x) noexcept nogil:
    """A field of a response: an item with a parameter (RFC 9651 section 3.3). ``rate``
    is in bytes per second, over all connections of the client."""
    writer_string(w, b"Penstock-Limit: ")
    writer_string(w, LIMITER_NAMES[x.by])
    if x.rate_bps:
        writer_string(w, b";rate=")
        writer_u64(w, <unsigned long long>x.rate_bps)
    writer_string(w, b"\r\n")
