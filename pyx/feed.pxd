"""Feed: what the controllers know of one client, and what they allow it.

One for each row of the client table, touched only of clients whose ``mode`` asks for
it. Engines write its signals; all else belongs to the control pass (``feedback``).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

from adaptive cimport Adaptive, AdaptiveRules, adaptive_rules_init
from breaker cimport (
    BREAKER_IS_DEGRADED, BREAKER_IS_FROZEN, Breaker, BreakerRules, breaker_rules_init,
)
from c_time cimport NS_PER_S
from dualloop cimport DualLoop, DualLoopRules, dualloop_rules_init
from estimator cimport EstimatorRules, estimator_rules_init
from signals cimport Signals


cdef enum FeedMode:
    FEED_OFF
    FEED_ADAPTIVE   # the adaptive target
    FEED_FULL       # and the controller and the breaker

cdef struct FeedRules:
    AdaptiveRules adaptive
    EstimatorRules estimator
    DualLoopRules dualloop
    BreakerRules breaker

cdef struct FeedSecond:
    # What the passes of the running second saw.
    int64_t number           # the second
    uint8_t backlogged       # in every pass
    uint8_t stock_low        # in the last
    uint8_t exhausted        # likewise
    uint8_t bound_by_own     # in every pass
    uint8_t cut              # in any
    int64_t allowed_bps      # the most of all

cdef struct Feed:
    Signals signals
    int64_t limit_bps        # the least of the three that follow; 0: no limit
    int64_t target_bps       # T; 0 (here and below): no limit
    int64_t controller_bps   # C
    int64_t breaker_bps      # B
    uint8_t limit_by         # Limiter
    uint8_t congested        # the network set one of the terms
    uint8_t followed         # is in the list of the control pass
    uint8_t mode             # FeedMode of the last pass
    FeedSecond second
    Adaptive adaptive
    DualLoop dualloop
    Breaker breaker
    int64_t active_ns        # when it last sent or waited
    int64_t bytes_total      # of the row, then
    # As the signals were when the controller and the breaker last looked.
    int64_t round_ns
    int64_t round_bytes
    int64_t round_acked
    int64_t round_segments
    int64_t round_retrans
    int64_t round_marked
    int64_t sample_ns
    int64_t sample_bytes
    int64_t sample_segments
    int64_t sample_retrans
    double loss              # of the last counted sample
    # Least RTT of the last interval and of this one: between 10 and 20 seconds.
    int64_t min_rtt_ns
    int64_t min_rtt_next_ns
    int64_t min_rtt_since_ns


cdef struct FeedTerms:
    # For those who look at a client.
    int64_t target_bps       # 0 (here and below): no limit
    int64_t controller_bps
    int64_t breaker_bps
    uint8_t breaker          # BreakerState


cdef inline void feed_rules_init(FeedRules* r) noexcept nogil:
    adaptive_rules_init(&r.adaptive)
    estimator_rules_init(&r.estimator)
    dualloop_rules_init(&r.dualloop)
    breaker_rules_init(&r.breaker)


cdef inline void feed_clear(Feed* f) noexcept nogil:
    """Everything that is the control pass' own; engines go on with the signals."""
    memset(<char*>f + sizeof(Signals), 0, sizeof(Feed) - sizeof(Signals))


cdef inline int64_t feed_retry_s(
    const Feed* f, const BreakerRules* r, int64_t now_ns
) noexcept nogil:
    """How long a client should not try again in vain: until its breaker begins to
    recover, if there is no more loss. 0: it is not held down."""
    cdef int64_t wait_ns
    if not f.followed:
        return 0
    if f.breaker.state == BREAKER_IS_DEGRADED:
        wait_ns = r.clean_ns
    elif f.breaker.state == BREAKER_IS_FROZEN:
        wait_ns = r.freeze_ns + r.clean_ns
    else:
        return 0
    wait_ns += f.breaker.since_ns - now_ns
    return max((wait_ns + NS_PER_S - 1) // NS_PER_S, 1)


cdef inline FeedTerms feed_terms(const Feed* f) noexcept nogil:
    cdef FeedTerms terms
    memset(&terms, 0, sizeof(terms))
    if f.followed:
        terms.target_bps = f.target_bps
        terms.controller_bps = f.controller_bps
        terms.breaker_bps = f.breaker_bps
        terms.breaker = f.breaker.state
    return terms
