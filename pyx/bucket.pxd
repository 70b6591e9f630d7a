"""Bucket: a token bucket kept as one virtual time (GCRA), and a second for its peak.

``vt_ns`` is the moment at which the bucket was, or will be, exactly empty: fill =
(now - vt) x rate, at most ``depth_ms`` worth. Taking n bytes moves it n / rate later.
No refill, no lock: one compare-and-swap per grant, from any thread.

A full bucket would be emptied at line rate, and whoever looks at slots of a second
would see three seconds' worth in the first. So what leaves it passes another one, with
a rate of its own and room for a short prefix: 1.12 x the rate keeps the
jitter of 1 s slots below 12 %, and a first piece at line rate keeps first bytes early.

Grants are post-paid: whoever finds no debt may take a whole quantum, so the debt is at
most the last grant. Capacity is a time, so that a changed rate keeps the fill fraction
without touching ``vt_ns``; only debt is rescaled, because it is owed in bytes.

Times are rounded to the nearest nanosecond: at most 0.5 ns a grant, which for grants of
``bucket_quantum`` is below 5 ppm up to 10 GB/s.
"""

from libc.stdint cimport int64_t, uint32_t

from c_atomic cimport (
    atomic_add_i64, atomic_cas_i64, atomic_load_i64, atomic_load_u32, atomic_store_i64,
    atomic_store_u32,
)


cdef struct Bucket:
    int64_t vt_ns            # atomic: when it is empty
    int64_t rate_bps         # atomic: bytes per second; 0: unlimited
    int64_t peak_vt_ns       # atomic: as vt_ns, of the bucket that bounds the peak
    uint32_t depth_ms        # atomic: how long an empty one fills
    uint32_t peak_time       # atomic: how long a piece takes at the peak, of PEAK_UNIT

cdef enum:
    BUCKET_UNLIMITED = -1
    BUCKET_DEPTH_MS = 2000
    BUCKET_DEPTH_MAX_MS = 3600000
    BUCKET_PEAK_PERMILLE = 1120
    PEAK_UNIT = 1024
    # At the begin of a burst so much may leave at line rate, but never more than a
    # tenth of a second's worth; and always what comes due between two looks at timers.
    BUCKET_PREFIX_BYTES = 262144
    BUCKET_PREFIX_NS = 100000000
    BUCKET_PREFIX_LEAST_NS = 10000000
    BUCKET_QUANTUM_FULL_BYTES = 65536  # the largest send that is cheap: strategy.pxd
    BUCKET_QUANTUM_MIN_BYTES = 16384   # of all but the slowest
    BUCKET_QUANTUM_LEAST_BYTES = 512   # below, heads cost more
    BUCKET_QUANTUM_MAX_BYTES = 1048576
    BUCKET_DEBT_MAX_BYTES = 2097152    # a grant, and what began on debt before it

cdef extern from *:
    """
    #define BUCKET_NS_PER_MS INT64_C(1000000)
    #define BUCKET_NS_PER_S 1000000000
    #define RATE_MAX_BPS INT64_C(1000000000000)
    /* A single debt is never longer: a month at 1 byte per second. */
    #define BUCKET_SPAN_MAX_NS (INT64_C(2592000) * BUCKET_NS_PER_S)

    /* How long n bytes last at a rate > 0; beyond 8 GiB n x 10^9 needs 128 bits. */
    static inline int64_t bucket_ns(int64_t n_bytes, int64_t rate_bps) {
        if (n_bytes < (INT64_C(1) << 33) && rate_bps <= RATE_MAX_BPS) {
            int64_t ns = (int64_t)(
                ((uint64_t)n_bytes * BUCKET_NS_PER_S + (uint64_t)rate_bps / 2)
                / (uint64_t)rate_bps);
            return ns > BUCKET_SPAN_MAX_NS ? BUCKET_SPAN_MAX_NS : ns;
        }
        __int128 ns = ((__int128)n_bytes * BUCKET_NS_PER_S + rate_bps / 2) / rate_bps;
        return ns > BUCKET_SPAN_MAX_NS ? BUCKET_SPAN_MAX_NS : (int64_t)ns;
    }
    static inline int64_t bucket_bytes(int64_t ns, int64_t rate_bps) {
        return (int64_t)((__int128)ns * rate_bps / BUCKET_NS_PER_S);
    }
    """
    const int64_t BUCKET_NS_PER_MS
    const int64_t RATE_MAX_BPS
    int64_t bucket_ns(int64_t n_bytes, int64_t rate_bps) nogil
    int64_t bucket_bytes(int64_t ns, int64_t rate_bps) nogil


cdef inline void bucket_set_burst(
    Bucket* b, uint32_t depth_ms, uint32_t peak_permille
) noexcept nogil:
    """What it holds, as a time, and how fast that may leave, 1000 being the rate and 0
    any; tokens beyond are lost."""
    cdef uint32_t time = 0
    if peak_permille:
        time = max(PEAK_UNIT * 1000 // peak_permille, 1)
    atomic_store_u32(&b.depth_ms, min(depth_ms, BUCKET_DEPTH_MAX_MS))
    atomic_store_u32(&b.peak_time, time)


cdef inline void bucket_init(
    Bucket* b, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    """Empty, so that a new key mints no burst; the first quantum runs on debt."""
    atomic_store_i64(&b.rate_bps, rate_bps)
    bucket_set_burst(b, BUCKET_DEPTH_MS, BUCKET_PEAK_PERMILLE)
    atomic_store_i64(&b.vt_ns, now_ns)
    atomic_store_i64(&b.peak_vt_ns, now_ns)


cdef inline int64_t bucket_depth_ns(const Bucket* b) noexcept nogil:
    return atomic_load_u32(&b.depth_ms) * BUCKET_NS_PER_MS


cdef inline void bucket_empty(Bucket* b, int64_t now_ns) noexcept nogil:
    """Drop the tokens; debt stays."""
    cdef int64_t vt = atomic_load_i64(&b.vt_ns)
    while vt < now_ns:
        if atomic_cas_i64(&b.vt_ns, &vt, now_ns):
            return


cdef inline int64_t virtual_take(
    int64_t* at, int64_t ns, int64_t depth_ns, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    """Move the virtual time ``at`` on by ``ns``: 0; or, while it is ahead, change
    nothing and say for how long it will be."""
    cdef int64_t vt = atomic_load_i64(at)
    cdef int64_t full = now_ns - depth_ns
    cdef int64_t most_ns
    while True:
        if vt > now_ns:
            most_ns = bucket_ns(BUCKET_DEBT_MAX_BYTES, rate_bps)
            if vt - now_ns <= most_ns:
                return vt - now_ns
            # Nobody can owe so much: a grant was charged at a rate that had just been
            # replaced. At 1 byte per second it would be a debt of hours.
            if atomic_cas_i64(at, &vt, now_ns + most_ns):
                return most_ns
            continue
        if atomic_cas_i64(at, &vt, (vt if vt > full else full) + ns):
            return 0


cdef inline int64_t peak_ns(int64_t ns, uint32_t peak_time) noexcept nogil:
    return ns * peak_time >> 10


cdef inline int64_t bucket_prefix_ns(int64_t rate_bps) noexcept nogil:
    if rate_bps > BUCKET_PREFIX_BYTES * 100:
        return BUCKET_PREFIX_LEAST_NS
    if rate_bps > BUCKET_PREFIX_BYTES * 10:
        return bucket_ns(BUCKET_PREFIX_BYTES, rate_bps)
    return BUCKET_PREFIX_NS


cdef inline int64_t bucket_take_peak(
    Bucket* b, int64_t ns, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    return virtual_take(
        &b.peak_vt_ns, ns, bucket_prefix_ns(rate_bps), rate_bps, now_ns)


cdef inline int64_t bucket_take(
    Bucket* b, int64_t n_bytes, int64_t now_ns
) noexcept nogil:
    """0: granted and charged. BUCKET_UNLIMITED: granted, and nothing to give back. Else
    nothing is charged, and there will be tokens in so many nanoseconds."""
    cdef int64_t rate = atomic_load_i64(&b.rate_bps)
    cdef uint32_t peak
    cdef int64_t ns, wait_ns
    if rate == 0:
        return BUCKET_UNLIMITED
    ns = bucket_ns(n_bytes, rate)
    peak = atomic_load_u32(&b.peak_time)
    if peak and atomic_load_i64(&b.vt_ns) <= now_ns:
        wait_ns = bucket_take_peak(b, peak_ns(ns, peak), rate, now_ns)
        if wait_ns:
            return wait_ns
        wait_ns = virtual_take(&b.vt_ns, ns, bucket_depth_ns(b), rate, now_ns)
        if wait_ns:  # another thread was first
            atomic_add_i64(&b.peak_vt_ns, -peak_ns(ns, peak))
        return wait_ns
    return virtual_take(&b.vt_ns, ns, bucket_depth_ns(b), rate, now_ns)


cdef inline void virtual_charge(
    int64_t* at, int64_t ns, int64_t depth_ns, int64_t now_ns
) noexcept nogil:
    cdef int64_t vt = atomic_load_i64(at)
    cdef int64_t full = now_ns - depth_ns
    while not atomic_cas_i64(at, &vt, (vt if vt > full else full) + ns):
        pass


cdef inline int64_t bucket_charge(
    Bucket* b, int64_t n_bytes, int64_t now_ns
) noexcept nogil:
    """Take without asking: on debt, which the caller has to bound. 0, or
    BUCKET_UNLIMITED: nothing was charged."""
    cdef int64_t rate = atomic_load_i64(&b.rate_bps)
    cdef uint32_t peak = atomic_load_u32(&b.peak_time)
    cdef int64_t ns
    if rate == 0:
        return BUCKET_UNLIMITED
    ns = bucket_ns(n_bytes, rate)
    virtual_charge(&b.vt_ns, ns, bucket_depth_ns(b), now_ns)
    if peak:
        virtual_charge(
            &b.peak_vt_ns, peak_ns(ns, peak), bucket_prefix_ns(rate), now_ns)
    return 0


cdef inline void bucket_refund(Bucket* b, int64_t n_bytes) noexcept nogil:
    """Undo the charge of bytes that were not sent. What was granted while the bucket
    had no rate was not charged: the caller must know (``charge``)."""
    cdef int64_t rate = atomic_load_i64(&b.rate_bps)
    cdef uint32_t peak = atomic_load_u32(&b.peak_time)
    cdef int64_t ns
    if rate == 0:
        return
    ns = bucket_ns(n_bytes, rate)
    atomic_add_i64(&b.vt_ns, -ns)
    if peak:
        atomic_add_i64(&b.peak_vt_ns, -peak_ns(ns, peak))


cdef inline void rescale_debt(
    int64_t* at, int64_t old_bps, int64_t new_bps, int64_t now_ns
) noexcept nogil:
    cdef int64_t vt = atomic_load_i64(at)
    cdef int64_t later
    while vt > now_ns:
        later = now_ns + bucket_ns(bucket_bytes(vt - now_ns, old_bps), new_bps)
        if atomic_cas_i64(at, &vt, later):
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
        atomic_store_i64(&b.peak_vt_ns, now_ns)
    atomic_store_i64(&b.rate_bps, rate_bps)
    if old and rate_bps:
        rescale_debt(&b.vt_ns, old, rate_bps, now_ns)
        rescale_debt(&b.peak_vt_ns, old, rate_bps, now_ns)


cdef inline bint bucket_owes(const Bucket* b, int64_t now_ns) noexcept nogil:
    """Whether a grant would have to wait."""
    return (
        atomic_load_i64(&b.vt_ns) > now_ns or atomic_load_i64(&b.peak_vt_ns) > now_ns)


cdef inline int64_t bucket_fill_bytes(const Bucket* b, int64_t now_ns) noexcept nogil:
    """Tokens; negative: debt. 0 when unlimited."""
    cdef int64_t rate = atomic_load_i64(&b.rate_bps)
    cdef int64_t ns = now_ns - atomic_load_i64(&b.vt_ns)
    return bucket_bytes(min(ns, bucket_depth_ns(b)), rate)


cdef inline int64_t bucket_grants(int64_t rate_bps) noexcept nogil:
    """How many grants a second ``rate_bps`` is divided into.

    A send to one of thousands of sockets, of which nothing is in a cache, costs the
    same for 2 KiB as for 20: so a grant should be worth one. From ten a second on, each
    tenth of a second has the same number: 25 would be two here and three there.
    """
    if rate_bps >= 40 * BUCKET_QUANTUM_FULL_BYTES:
        return 40
    if rate_bps >= 20 * BUCKET_QUANTUM_MIN_BYTES:
        return 20
    if rate_bps >= 10 * BUCKET_QUANTUM_MIN_BYTES:
        return 10
    if rate_bps >= 4 * BUCKET_QUANTUM_MIN_BYTES:
        return 4
    return 2


cdef inline int64_t bucket_quantum(int64_t rate_bps) noexcept nogil:
    """Bytes of one grant at ``rate_bps``; the largest when unlimited."""
    cdef int64_t n
    if rate_bps == 0:
        return BUCKET_QUANTUM_MAX_BYTES
    n = rate_bps // bucket_grants(rate_bps)
    return min(max(n, BUCKET_QUANTUM_LEAST_BYTES), BUCKET_QUANTUM_MAX_BYTES)
