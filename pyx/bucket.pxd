"""Bucket: a token bucket kept as one virtual time (GCRA).

``vt_ns`` is the moment at which the bucket was, or will be, exactly empty: fill =
(now - vt) x rate, at most BUCKET_DEPTH_NS worth. Taking n bytes moves it n / rate
later. No refill, no lock: one compare-and-swap per grant, from any thread.

Grants are post-paid: whoever finds no debt may take a whole quantum, so the debt is at
most the last grant. Capacity is always BUCKET_DEPTH_NS of the rate, so that a changed
rate keeps the fill fraction without touching ``vt_ns``; only debt is rescaled, because
it is owed in bytes.

Times are rounded to the nearest nanosecond: at most 0.5 ns a grant, which for grants of
``bucket_quantum`` is below 5 ppm up to 10 GB/s.
"""

from libc.stdint cimport int64_t

from c_atomic cimport (
    atomic_add_i64, atomic_cas_i64, atomic_load_i64, atomic_store_i64,
)


cdef struct Bucket:
    int64_t vt_ns      # atomic: when it is empty
    int64_t rate_bps   # atomic: bytes per second; 0: unlimited

cdef enum:
    # Grants per second and client: as many as give each 16 KiB, which a send is worth,
    # but at least the first number, so that a slow client is served evenly, too.
    BUCKET_GRANTS_LEAST = 4
    BUCKET_GRANTS_MOST = 40
    BUCKET_QUANTUM_MIN_BYTES = 16384
    BUCKET_QUANTUM_LEAST_BYTES = 512   # of the slowest: below, heads cost more
    BUCKET_QUANTUM_MAX_BYTES = 1048576

cdef extern from *:
    """
    #define BUCKET_DEPTH_NS INT64_C(2000000000)
    #define BUCKET_NS_PER_S 1000000000
    #define RATE_MAX_BPS INT64_C(1000000000000)
    /* A single debt is never longer: a month at 1 byte per second. */
    #define BUCKET_SPAN_MAX_NS (INT64_C(2592000) * BUCKET_NS_PER_S)

    /* How long n bytes last at a rate > 0; 128 bits, because n x 10^9 needs them. */
    static inline int64_t bucket_ns(int64_t n_bytes, int64_t rate_bps) {
        __int128 ns = ((__int128)n_bytes * BUCKET_NS_PER_S + rate_bps / 2) / rate_bps;
        return ns > BUCKET_SPAN_MAX_NS ? BUCKET_SPAN_MAX_NS : (int64_t)ns;
    }
    static inline int64_t bucket_bytes(int64_t ns, int64_t rate_bps) {
        return (int64_t)((__int128)ns * rate_bps / BUCKET_NS_PER_S);
    }
    """
    const int64_t BUCKET_DEPTH_NS
    const int64_t RATE_MAX_BPS
    int64_t bucket_ns(int64_t n_bytes, int64_t rate_bps) nogil
    int64_t bucket_bytes(int64_t ns, int64_t rate_bps) nogil


cdef inline void bucket_init(
    Bucket* b, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    """Empty, so that a new key mints no burst; the first quantum runs on debt."""
    atomic_store_i64(&b.rate_bps, rate_bps)
    atomic_store_i64(&b.vt_ns, now_ns)


cdef inline void bucket_empty(Bucket* b, int64_t now_ns) noexcept nogil:
    """Drop the tokens; debt stays."""
    cdef int64_t vt = atomic_load_i64(&b.vt_ns)
    while vt < now_ns:
        if atomic_cas_i64(&b.vt_ns, &vt, now_ns):
            return


cdef inline int64_t bucket_take(
    Bucket* b, int64_t n_bytes, int64_t now_ns
) noexcept nogil:
    """0: granted and charged. Else nothing is charged, and the debt is paid in so many
    nanoseconds."""
    cdef int64_t rate = atomic_load_i64(&b.rate_bps)
    cdef int64_t vt, full, later, most
    if rate == 0:
        return 0
    vt = atomic_load_i64(&b.vt_ns)
    full = now_ns - BUCKET_DEPTH_NS
    while True:
        if vt > now_ns:
            most = bucket_ns(BUCKET_QUANTUM_MAX_BYTES, rate)
            if vt - now_ns <= most:
                return vt - now_ns
            # Nobody can owe so much: a grant was charged at a rate that had just been
            # replaced. At 1 byte per second it would be a debt of hours.
            if atomic_cas_i64(&b.vt_ns, &vt, now_ns + most):
                return most
            continue
        later = (vt if vt > full else full) + bucket_ns(n_bytes, rate)
        if atomic_cas_i64(&b.vt_ns, &vt, later):
            return 0


cdef inline void bucket_refund(Bucket* b, int64_t n_bytes) noexcept nogil:
    """Undo the charge of bytes that were not sent."""
    cdef int64_t rate = atomic_load_i64(&b.rate_bps)
    if rate:
        atomic_add_i64(&b.vt_ns, -bucket_ns(n_bytes, rate))


cdef inline void bucket_rescale_debt(
    Bucket* b, int64_t old_bps, int64_t new_bps, int64_t now_ns
) noexcept nogil:
    cdef int64_t vt = atomic_load_i64(&b.vt_ns)
    cdef int64_t later
    while vt > now_ns:
        later = now_ns + bucket_ns(bucket_bytes(vt - now_ns, old_bps), new_bps)
        if atomic_cas_i64(&b.vt_ns, &vt, later):
            return


cdef inline void bucket_set_rate(
    Bucket* b, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    """Keep the fill fraction, or the debt in bytes. To and from unlimited: empty. One
    caller at a time; takers need not stop."""
    cdef int64_t old = atomic_load_i64(&b.rate_bps)
    if old == rate_bps:
        return
    if old == 0 or rate_bps == 0:
        atomic_store_i64(&b.vt_ns, now_ns)
    atomic_store_i64(&b.rate_bps, rate_bps)
    if old and rate_bps:
        bucket_rescale_debt(b, old, rate_bps, now_ns)


cdef inline int64_t bucket_fill_bytes(const Bucket* b, int64_t now_ns) noexcept nogil:
    """Tokens; negative: debt. 0 when unlimited."""
    cdef int64_t rate = atomic_load_i64(&b.rate_bps)
    cdef int64_t ns = now_ns - atomic_load_i64(&b.vt_ns)
    return bucket_bytes(ns if ns < BUCKET_DEPTH_NS else BUCKET_DEPTH_NS, rate)


cdef inline int64_t bucket_quantum(int64_t rate_bps) noexcept nogil:
    """Bytes of one grant at ``rate_bps``; the largest when unlimited. A whole number of
    them makes a second: else a second would have one more or less than the next."""
    cdef int64_t grants, n
    if rate_bps == 0:
        return BUCKET_QUANTUM_MAX_BYTES
    grants = min(
        max(rate_bps // BUCKET_QUANTUM_MIN_BYTES, BUCKET_GRANTS_LEAST),
        BUCKET_GRANTS_MOST)
    n = rate_bps // grants
    return min(max(n, BUCKET_QUANTUM_LEAST_BYTES), BUCKET_QUANTUM_MAX_BYTES)
