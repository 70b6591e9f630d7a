"""Signals: what the network said of one client's connections, added up by engines.

A cache line for each client, written by the engines without a lock and read by the
control pass, which looks at how much each has grown. The estimate is a sum to which
every connection contributes, and from which it withdraws when its transfer ends.
"""

from libc.stdint cimport int64_t, uint32_t

from c_atomic cimport (
    atomic_add_i64, atomic_cas_i64, atomic_load_i64, atomic_store_i64,
)


cdef enum:
    SIGNALS_SRTT_SHARE = 8    # of a new RTT: one part in so many

cdef struct Signals:
    int64_t segments       # with data, retransmitted ones included
    int64_t retrans        # of them
    int64_t marked         # segments that were delivered with a CE mark
    int64_t acked_bytes
    int64_t estimate_bps   # of all connections
    int64_t srtt_ns        # blended over connections; 0: unknown
    int64_t min_rtt_ns     # least since ``signals_take_min_rtt``; 0: none
    uint32_t mss_bytes     # of the latest
    uint32_t ecn           # the latest connection had negotiated ECN


cdef inline void signals_srtt(Signals* s, int64_t rtt_ns) noexcept nogil:
    """A race of two engines loses one of two like samples."""
    cdef int64_t before = atomic_load_i64(&s.srtt_ns)
    if before:
        rtt_ns = before + (rtt_ns - before) // SIGNALS_SRTT_SHARE
    atomic_store_i64(&s.srtt_ns, rtt_ns)


cdef inline void signals_min_rtt(Signals* s, int64_t rtt_ns) noexcept nogil:
    cdef int64_t before = atomic_load_i64(&s.min_rtt_ns)
    while before == 0 or rtt_ns < before:
        if atomic_cas_i64(&s.min_rtt_ns, &before, rtt_ns):
            return


cdef inline int64_t signals_take_min_rtt(Signals* s) noexcept nogil:
    """The least since the last call; 0: none was measured."""
    cdef int64_t found = atomic_load_i64(&s.min_rtt_ns)
    while not atomic_cas_i64(&s.min_rtt_ns, &found, 0):
        pass
    return found


cdef inline void signals_add(int64_t* counter, int64_t n) noexcept nogil:
    """Mostly nothing was lost or marked: then the line is not written for it."""
    if n:
        atomic_add_i64(counter, n)
