"""Steering: the three rules, each asked with what its sample needs, for one client.

Here the counters of ``Signals`` and of the row become samples; what follows from them
is decided by ``adaptive``, ``dualloop`` and ``breaker``, which know no client table.
"""

from libc.stdint cimport int64_t, uint32_t

from adaptive cimport (
    ADAPTIVE_NONE, ADAPTIVE_SLOTS, AdaptiveChange, AdaptiveSlot, adaptive_rate_changed,
    adaptive_slot, adaptive_stock_low,
)
from breaker cimport (
    BREAKER_NONE, BreakerChange, breaker_limit_bps, breaker_sample, breaker_tick,
)
from bucket cimport bucket_depth_ns, bucket_fill_bytes, bucket_quantum
from c_atomic cimport atomic_load_i64
from c_time cimport NS_PER_S
from clients cimport (
    LIMITER_ADAPTIVE, LIMITER_CLIENT, LIMITER_CONTROLLER, Client, Clients, clients_at,
)
from dualloop cimport (
    DUALLOOP_CE, DUALLOOP_EARLY, DUALLOOP_LOSS, DualLoopChange, DualLoopSample,
    dualloop_rate_bps, dualloop_round,
)
from feed cimport Feed
from feedlog cimport (
    FEED_BREAKER, FEED_CONTROLLER, FEED_TARGET, FeedEntry, FeedLog, feedlog_new,
)
from holders cimport holders_transfers
from limiter cimport limiter_of_tokens
from signals cimport signals_take_min_rtt
from window cimport window_mean_bps, window_second_bytes


cdef extern from *:
    """
    #define STEERING_SAMPLE_NS (2 * INT64_C(1000000000))   /* of the breaker */
    #define STEERING_MIN_RTT_NS (10 * INT64_C(1000000000)) /* that a least RTT holds */
    """
    const int64_t STEERING_SAMPLE_NS
    const int64_t STEERING_MIN_RTT_NS

cdef struct Look:
    # One client in one pass.
    Clients* clients
    uint32_t row
    int64_t now_ns
    int64_t rate_bps     # R; 0: unlimited
    bint wants           # it waits for tokens, or did since the last pass


cdef inline FeedEntry* steering_note(
    FeedLog* log, const Feed* f, const Look* look, uint32_t kind, uint32_t change
) noexcept nogil:
    """NULL when the log is full."""
    cdef FeedEntry* entry = feedlog_new(log, kind)
    if entry == NULL:
        return NULL
    entry.row = look.row
    entry.kind = kind
    entry.change = change
    entry.rate_bps = look.rate_bps
    entry.mean_bps = window_mean_bps(
        &clients_at(look.clients, look.row).window, look.now_ns)
    entry.srtt_ns = atomic_load_i64(&f.signals.srtt_ns)
    entry.estimate_bps = atomic_load_i64(&f.signals.estimate_bps)
    entry.retrans = atomic_load_i64(&f.signals.retrans) - f.round_retrans
    entry.marked = atomic_load_i64(&f.signals.marked) - f.round_marked
    entry.loss = f.loss
    return entry


cdef inline int64_t steering_allowed_bps(
    int64_t rate_bps, int64_t depth_ns
) noexcept nogil:
    """Of a full bucket, over the time of a mean."""
    return <int64_t>(
        <double>rate_bps * (1 + <double>depth_ns / NS_PER_S / ADAPTIVE_SLOTS))


cdef inline void steering_see(Feed* f, const Look* look) noexcept nogil:
    """What this pass adds to the running second."""
    cdef const Client* c = clients_at(look.clients, look.row)
    cdef int64_t rate = atomic_load_i64(&c.bucket.rate_bps)
    cdef int64_t fill = bucket_fill_bytes(&c.bucket, look.now_ns)
    cdef int64_t depth_ns = bucket_depth_ns(&c.bucket)
    cdef uint32_t by = limiter_of_tokens(look.clients, look.row)
    f.second.backlogged = f.second.backlogged and look.wants
    f.second.bound_by_own = f.second.bound_by_own and (
        by == LIMITER_CLIENT or by == LIMITER_ADAPTIVE)
    f.second.stock_low = adaptive_stock_low(
        fill, <int64_t>(<double>rate * <double>depth_ns / NS_PER_S),
        bucket_quantum(rate))
    f.second.exhausted = fill <= 0
    f.second.allowed_bps = max(
        f.second.allowed_bps, steering_allowed_bps(rate, depth_ns))


cdef inline AdaptiveChange steering_slot(Feed* f, const Look* look) noexcept nogil:
    """The second is over: what did it show?"""
    cdef AdaptiveSlot slot
    cdef int64_t second = look.now_ns // NS_PER_S
    slot.rate_bps = look.rate_bps
    slot.bytes = window_second_bytes(
        &clients_at(look.clients, look.row).window, second - 1)
    # Of a second that no pass saw, nothing is known.
    slot.backlogged = f.second.backlogged and f.second.number == second - 1
    slot.stock_low = f.second.stock_low
    slot.exhausted = f.second.exhausted
    slot.bound_by_own = f.second.bound_by_own
    slot.cut = f.second.cut
    slot.allowed_bps = f.second.allowed_bps
    f.second.number = second
    f.second.backlogged = f.second.bound_by_own = True
    f.second.cut = False
    f.second.allowed_bps = 0
    return adaptive_slot(
        &f.adaptive, &look.clients.feed_rules.adaptive, &slot, look.now_ns)


cdef inline void steering_target(
    FeedLog* log, Feed* f, const Look* look
) noexcept nogil:
    """T, which is no term where it is R."""
    cdef int64_t before = f.adaptive.target_bps
    cdef AdaptiveChange change = ADAPTIVE_NONE
    cdef FeedEntry* entry
    # At once: the target of another rate would be a limit that nobody set.
    adaptive_rate_changed(
        &f.adaptive, &look.clients.feed_rules.adaptive, look.rate_bps, look.now_ns)
    if look.now_ns // NS_PER_S > f.second.number:
        change = steering_slot(f, look)
    steering_see(f, look)
    f.target_bps = f.adaptive.target_bps
    if f.target_bps == look.rate_bps:
        f.target_bps = 0
    if change == ADAPTIVE_NONE:
        return
    entry = steering_note(log, f, look, FEED_TARGET, change)
    if entry != NULL:
        entry.before_bps = before
        entry.after_bps = f.adaptive.target_bps


cdef inline void steering_min_rtt(Feed* f, const Look* look) noexcept nogil:
    """A least RTT holds for ten seconds and more: a longer way is noticed then."""
    cdef int64_t least = signals_take_min_rtt(&f.signals)
    if look.now_ns - f.min_rtt_since_ns >= STEERING_MIN_RTT_NS:
        f.min_rtt_ns = f.min_rtt_next_ns
        f.min_rtt_next_ns = 0
        f.min_rtt_since_ns = look.now_ns
    if least == 0:
        return
    if f.min_rtt_next_ns == 0 or least < f.min_rtt_next_ns:
        f.min_rtt_next_ns = least
    if f.min_rtt_ns == 0 or least < f.min_rtt_ns:
        f.min_rtt_ns = least


cdef inline DualLoopSample steering_round(
    const Feed* f, const Look* look
) noexcept nogil:
    cdef DualLoopSample s
    cdef const Client* c = clients_at(look.clients, look.row)
    s.elapsed_ns = max(look.now_ns - f.round_ns, 1)
    s.srtt_ns = atomic_load_i64(&f.signals.srtt_ns)
    s.min_rtt_ns = f.min_rtt_ns if f.min_rtt_ns else s.srtt_ns
    s.mss_bytes = f.signals.mss_bytes
    s.connections = max(holders_transfers(&c.holders), 1)
    s.quantum_bytes = bucket_quantum(atomic_load_i64(&c.bucket.rate_bps))
    s.estimate_bps = atomic_load_i64(&f.signals.estimate_bps)
    s.current_bps = <int64_t>(
        <double>(f.bytes_total - f.round_bytes) * NS_PER_S / <double>s.elapsed_ns)
    s.acked_bps = <int64_t>(
        <double>(atomic_load_i64(&f.signals.acked_bytes) - f.round_acked) * NS_PER_S
        / <double>s.elapsed_ns)
    s.retrans_delta = atomic_load_i64(&f.signals.retrans) - f.round_retrans
    s.ce_delta = atomic_load_i64(&f.signals.marked) - f.round_marked
    s.limited = look.wants and limiter_of_tokens(
        look.clients, look.row) == LIMITER_CONTROLLER
    return s


cdef inline bint steering_heard(const Feed* f) noexcept nogil:
    """Whether any connection was asked since the last round, and had something to say.
    Of many, each is asked seldom: a round without news would count as a clean one, and
    the next would take for one round's what came in several."""
    return (
        atomic_load_i64(&f.signals.segments) != f.round_segments
        or atomic_load_i64(&f.signals.acked_bytes) != f.round_acked)


cdef inline void steering_controller(
    FeedLog* log, Feed* f, const Look* look
) noexcept nogil:
    """C."""
    cdef DualLoopSample s
    cdef DualLoopChange change
    cdef FeedEntry* entry = NULL
    steering_min_rtt(f, look)
    if not steering_heard(f):
        return
    s = steering_round(f, look)
    change = dualloop_round(
        &f.dualloop, &look.clients.feed_rules.dualloop, &s, look.now_ns)
    if change == DUALLOOP_EARLY:
        return
    if change == DUALLOOP_LOSS or change == DUALLOOP_CE:
        f.second.cut = True
        entry = steering_note(log, f, look, FEED_CONTROLLER, change)
    if entry != NULL:
        entry.before_bps = f.controller_bps
        entry.after_bps = dualloop_rate_bps(&f.dualloop)
    f.controller_bps = dualloop_rate_bps(&f.dualloop)
    f.round_ns = look.now_ns
    f.round_bytes = f.bytes_total
    f.round_acked = atomic_load_i64(&f.signals.acked_bytes)
    f.round_segments = atomic_load_i64(&f.signals.segments)
    f.round_retrans += s.retrans_delta
    f.round_marked += s.ce_delta


cdef inline BreakerChange steering_sample(Feed* f, const Look* look) noexcept nogil:
    cdef int64_t elapsed_ns = look.now_ns - f.sample_ns
    cdef int64_t segments = atomic_load_i64(&f.signals.segments) - f.sample_segments
    cdef int64_t retrans = atomic_load_i64(&f.signals.retrans) - f.sample_retrans
    cdef int64_t sent = f.bytes_total - f.sample_bytes
    if segments >= look.clients.feed_rules.breaker.segments_least:
        f.loss = <double>retrans / <double>segments
    f.sample_ns = look.now_ns
    f.sample_bytes = f.bytes_total
    f.sample_segments += segments
    f.sample_retrans += retrans
    return breaker_sample(
        &f.breaker, &look.clients.feed_rules.breaker, segments, retrans,
        <int64_t>(<double>sent * NS_PER_S / <double>elapsed_ns), look.rate_bps,
        look.now_ns)


cdef inline void steering_breaker(
    FeedLog* log, Feed* f, const Look* look
) noexcept nogil:
    """B."""
    cdef int64_t before = f.breaker_bps
    cdef BreakerChange change
    cdef FeedEntry* entry
    if look.now_ns - f.sample_ns >= STEERING_SAMPLE_NS:
        change = steering_sample(f, look)
    else:
        change = breaker_tick(
            &f.breaker, &look.clients.feed_rules.breaker, look.now_ns)
    f.breaker_bps = breaker_limit_bps(
        &f.breaker, &look.clients.feed_rules.breaker, look.rate_bps)
    if change == BREAKER_NONE:
        return
    f.second.cut = True
    entry = steering_note(log, f, look, FEED_BREAKER, change)
    if entry != NULL:
        entry.before_bps = before
        entry.after_bps = f.breaker_bps
