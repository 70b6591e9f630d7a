"""Breaker: holds a client down while its path loses a great part of what it is sent.

                  5 bad samples                       2 clean minutes
        closed ------------------> degraded ----------------------------> half-open
           ^                        ^     ^                                |   |
           |     frozen for 5 min   |     |  5 bad samples                 |   |
           |    frozen -------------+     +--------------------------------+   |
           |      ^  the third trip in 30 minutes                              |
           +-------------------------------------------------------------------+
                         40, 55, 75 % of R passed, each with 5 clean samples

A sample is counted from 50 segments on: of fewer, one lost says nothing. It is bad from
15 % loss on, clean below 5 %. Bad samples trip in a row only; a row ends 30 s after its
last counted sample.

Degraded is what the client was sent, or 40 % of its rate R, whichever is less: a fixed
number would raise small clients. R itself is not touched; the breaker is one more term
of the minimum. Where R is unlimited, what the client was sent when it tripped stands
in for it.

Frozen, it is held at the degraded rate, recovers nothing, and goes on to be served. An
operator may release it.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

from c_time cimport NS_PER_S


cdef enum:
    BREAKER_STEPS = 3        # of half-open; after the last it closes
    BREAKER_TRIPS_MOST = 8   # that are remembered

cdef enum BreakerState:
    BREAKER_IS_CLOSED
    BREAKER_IS_DEGRADED
    BREAKER_IS_HALF_OPEN
    BREAKER_IS_FROZEN

cdef enum BreakerChange:
    BREAKER_NONE
    BREAKER_TRIPPED
    BREAKER_FROZEN
    BREAKER_THAWED       # degraded again
    BREAKER_HALF_OPEN
    BREAKER_STEPPED
    BREAKER_CLOSED

cdef struct BreakerRules:
    double bad_loss          # of the segments of a sample, from which on it is bad
    double clean_loss        # and below which it is clean
    int64_t segments_least   # of a sample that counts
    uint32_t bad_samples     # in a row that trip
    uint32_t clean_samples   # in a row that pass a step
    int64_t row_ns           # after so long without a counted sample a row ends
    double degraded_share    # of R
    int64_t degraded_floor_bps   # as nobody could be served at 0
    int64_t clean_ns         # from degraded to half-open
    double steps[BREAKER_STEPS]  # shares of R, at least degraded_share
    uint32_t freeze_trips    # at most BREAKER_TRIPS_MOST
    int64_t freeze_within_ns # so many trips
    int64_t freeze_ns

cdef struct Breaker:
    int64_t since_ns         # begin of the state or step, or of its clean time so far
    int64_t counted_ns       # last counted sample, or since_ns
    int64_t degraded_bps
    int64_t tripped_bps      # sent when it tripped: what R is where there is none
    int64_t trips_ns[BREAKER_TRIPS_MOST]
    uint32_t trips_n         # all that were; the last ones are in trips_ns
    uint32_t bad_n           # of the row
    uint32_t clean_n
    uint8_t state            # BreakerState
    uint8_t step


cdef inline void breaker_rules_init(BreakerRules* r) noexcept nogil:
    r.bad_loss = 0.15
    r.clean_loss = 0.05
    r.segments_least = 50
    r.bad_samples = 5
    r.clean_samples = 5
    r.row_ns = 30 * NS_PER_S
    r.degraded_share = 0.40
    r.degraded_floor_bps = 4096
    r.clean_ns = 120 * NS_PER_S
    r.steps[0] = 0.40
    r.steps[1] = 0.55
    r.steps[2] = 0.75
    r.freeze_trips = 3
    r.freeze_within_ns = 1800 * NS_PER_S
    r.freeze_ns = 300 * NS_PER_S


cdef inline void breaker_init(Breaker* b, int64_t now_ns) noexcept nogil:
    memset(b, 0, sizeof(Breaker))
    b.since_ns = b.counted_ns = now_ns


cdef inline void breaker_enter(
    Breaker* b, BreakerState state, int64_t now_ns
) noexcept nogil:
    b.state = state
    b.since_ns = b.counted_ns = now_ns
    b.bad_n = b.clean_n = 0


cdef inline BreakerChange breaker_pass_step(
    Breaker* b, int64_t now_ns
) noexcept nogil:
    if b.step + 1 == BREAKER_STEPS:
        breaker_enter(b, BREAKER_IS_CLOSED, now_ns)
        return BREAKER_CLOSED
    b.step += 1
    breaker_enter(b, BREAKER_IS_HALF_OPEN, now_ns)
    return BREAKER_STEPPED


cdef inline BreakerChange breaker_tick(
    Breaker* b, const BreakerRules* r, int64_t now_ns
) noexcept nogil:
    """What becomes of it by time alone; as often as wanted. One change a call, and its
    next time counts from when it was due: of a client that was away long, a few calls
    make good what was left out."""
    if b.state == BREAKER_IS_FROZEN and now_ns - b.since_ns >= r.freeze_ns:
        breaker_enter(b, BREAKER_IS_DEGRADED, b.since_ns + r.freeze_ns)
        return BREAKER_THAWED
    if b.state == BREAKER_IS_DEGRADED and now_ns - b.since_ns >= r.clean_ns:
        b.step = 0
        breaker_enter(b, BREAKER_IS_HALF_OPEN, b.since_ns + r.clean_ns)
        return BREAKER_HALF_OPEN
    if now_ns - b.counted_ns < r.row_ns:
        return BREAKER_NONE
    if b.state == BREAKER_IS_HALF_OPEN:
        return breaker_pass_step(b, b.counted_ns + r.row_ns)
    b.bad_n = 0
    return BREAKER_NONE


cdef inline bint breaker_freezes(
    const Breaker* b, const BreakerRules* r, int64_t now_ns
) noexcept nogil:
    """Whether the trip of now is one too many."""
    cdef uint32_t n = min(r.freeze_trips, <uint32_t>BREAKER_TRIPS_MOST)
    cdef int64_t first_ns
    if n == 0 or b.trips_n < n:
        return False
    first_ns = b.trips_ns[(b.trips_n - n) % BREAKER_TRIPS_MOST]
    return now_ns - first_ns < r.freeze_within_ns


cdef inline BreakerChange breaker_trip(
    Breaker* b, const BreakerRules* r, int64_t current_bps, int64_t rate_bps,
    int64_t now_ns
) noexcept nogil:
    cdef double whole = <double>(rate_bps if rate_bps else current_bps)
    cdef int64_t share = <int64_t>(r.degraded_share * whole)
    b.tripped_bps = max(current_bps, r.degraded_floor_bps)
    if rate_bps == 0:
        share = max(share, r.degraded_floor_bps)
    b.degraded_bps = max(min(b.tripped_bps, share), 1)
    b.trips_ns[b.trips_n % BREAKER_TRIPS_MOST] = now_ns
    b.trips_n += 1
    if breaker_freezes(b, r, now_ns):
        breaker_enter(b, BREAKER_IS_FROZEN, now_ns)
        return BREAKER_FROZEN
    breaker_enter(b, BREAKER_IS_DEGRADED, now_ns)
    return BREAKER_TRIPPED


cdef inline void breaker_count(
    Breaker* b, const BreakerRules* r, double loss, int64_t now_ns
) noexcept nogil:
    """Rows of bad and of clean samples; what is neither ends both."""
    b.bad_n = b.bad_n + 1 if loss >= r.bad_loss else 0
    b.clean_n = b.clean_n + 1 if loss < r.clean_loss else 0
    b.counted_ns = now_ns


cdef inline BreakerChange breaker_sample(
    Breaker* b, const BreakerRules* r, int64_t segments, int64_t retrans,
    int64_t current_bps, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    """Of the last two seconds: ``segments`` were sent, ``retrans`` of them once more;
    the client got ``current_bps``, and R is ``rate_bps``, 0 being unlimited. A sample
    at whose end the state changes by time belongs to what was before."""
    cdef BreakerChange change = breaker_tick(b, r, now_ns)
    cdef double loss
    if change != BREAKER_NONE or segments < max(r.segments_least, 1):
        return change
    loss = <double>retrans / <double>segments
    if b.state == BREAKER_IS_FROZEN:
        return BREAKER_NONE
    if b.state == BREAKER_IS_DEGRADED:
        if loss >= r.clean_loss:
            b.since_ns = now_ns
        return BREAKER_NONE
    breaker_count(b, r, loss, now_ns)
    if b.bad_n >= r.bad_samples:
        return breaker_trip(b, r, current_bps, rate_bps, now_ns)
    if b.state == BREAKER_IS_HALF_OPEN and b.clean_n >= r.clean_samples:
        return breaker_pass_step(b, now_ns)
    return BREAKER_NONE


cdef inline BreakerChange breaker_release(Breaker* b, int64_t now_ns) noexcept nogil:
    """The operator takes over: closed, and no trip is remembered."""
    cdef bint was_closed = b.state == BREAKER_IS_CLOSED
    breaker_init(b, now_ns)
    return BREAKER_NONE if was_closed else BREAKER_CLOSED


cdef inline int64_t breaker_limit_bps(
    const Breaker* b, const BreakerRules* r, int64_t rate_bps
) noexcept nogil:
    """What it allows now, as a part of R, which is ``rate_bps`` now; 0: no limit."""
    cdef double whole = <double>(rate_bps if rate_bps else b.tripped_bps)
    cdef int64_t share
    if b.state == BREAKER_IS_CLOSED:
        return 0
    if b.state == BREAKER_IS_HALF_OPEN:
        return max(<int64_t>(max(r.steps[b.step], r.degraded_share) * whole), 1)
    if rate_bps == 0:
        return b.degraded_bps
    share = max(<int64_t>(r.degraded_share * whole), 1)
    return min(b.degraded_bps, share)
