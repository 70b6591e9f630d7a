"""Counters of one engine: written by its thread only, read by others as they are.

Aligned 64-bit words; a reader may see two of them a moment apart.
"""

from libc.stdint cimport int64_t

from encodings cimport ENCODING_COUNT


cdef enum:
    FIRST_BYTE_BOUNDS = 7
    STATUS_SLOTS = 600   # by status code

cdef struct Counters:
    int64_t accepted
    int64_t refused           # answered 503: no slot
    int64_t accept_errors
    int64_t requests
    int64_t requests_reused   # on a connection that had served one before
    int64_t parse_errors
    int64_t forwarded_ignored # requests of proxies that named no usable source
    int64_t bytes_sent
    int64_t bytes_spliced
    int64_t zerocopy          # SEND_ZC begun
    int64_t reads_cold        # pieces that a kernel worker read
    int64_t reads_ahead       # requests to a disk to read ahead
    int64_t grants
    int64_t grants_early   # of them: on debt, of what begins
    int64_t parks
    int64_t sensed            # times a connection was asked for TCP_INFO
    int64_t sensing_ns        # that this took
    int64_t timeouts_idle
    int64_t timeouts_header
    int64_t timeouts_write
    int64_t timeouts_body
    int64_t bytes_received    # of bodies that Python asked for
    int64_t bytes_past_cache  # of these, written to the disk itself
    int64_t loops
    int64_t cqes
    int64_t cq_overflows
    int64_t parked            # transfers now
    int64_t pending           # connections that hold unparsed input now
    int64_t pending_bytes     # memory that holds it
    int64_t pending_cut       # connections closed because it was too much
    int64_t first_byte_sum_ns
    int64_t first_byte[FIRST_BYTE_BOUNDS + 1]
    int64_t sidecars_stale    # found older than their originals, and not used
    int64_t encoded[ENCODING_COUNT]  # responses made from a sidecar
    int64_t responses[STATUS_SLOTS]

cdef extern from *:
    """
    /* Upper bounds promised to users: 0.05, 0.1, 0.2, 0.35, 0.5 and 1 second. And
       0.38, above which the P99 raises an alert: a quantile between two bounds is
       guessed, one beside a bound is known. */
    static const int64_t FIRST_BYTE_BOUND_NS[7] = {
        50000000, 100000000, 200000000, 350000000, 380000000, 500000000, 1000000000};
    """
    const int64_t FIRST_BYTE_BOUND_NS[7]


cdef inline void counters_first_byte(Counters* c, int64_t waited_ns) noexcept nogil:
    cdef int i = 0
    while i < FIRST_BYTE_BOUNDS and waited_ns > FIRST_BYTE_BOUND_NS[i]:
        i += 1
    c.first_byte[i] += 1
    c.first_byte_sum_ns += waited_ns


cdef inline void counters_status(Counters* c, int status) noexcept nogil:
    if 0 <= status < STATUS_SLOTS:
        c.responses[status] += 1
