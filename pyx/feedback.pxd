"""Feedback: the pass in which the controllers look at the clients that they follow.

After each control pass of the tree, in the same thread. A client is followed from when
it is active until everything is as configured and it was idle for a minute, or for
seconds if its path never met congestion. Three terms come out of it: the adaptive
target T, the controller's C, the breaker's B. The least is one more term of the minimum
at which the client's bucket runs (``clients_cap_bps``). R, what is configured, is never
changed.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from adaptive cimport adaptive_init
from activity cimport ACTIVITY_WORD_BITS, activity_has, activity_take
from allowance cimport allowance_limit_bps, allowance_shape, tighter_bps
from breaker cimport BREAKER_IS_CLOSED, breaker_init
from bucket cimport bucket_set_rate
from c_atomic cimport (
    atomic_load_i32, atomic_load_i64, atomic_store_i64, atomic_store_u32,
)
from c_bits cimport word_lowest_bit
from c_time cimport NS_PER_S
from clients cimport (
    CLIENT_FIRST, LIMITER_ADAPTIVE, LIMITER_BREAKER, LIMITER_CONTROLLER, LIMITER_NONE,
    Client, Clients, clients_at, clients_cap_bps,
)
from dualloop cimport dualloop_init
from feed cimport FEED_FULL, FEED_OFF, Feed, feed_clear
from feedlog cimport FeedLog
from mapping cimport mapping_free, mapping_new
from signals cimport signals_take_min_rtt
from steering cimport (
    Look, steering_breaker, steering_controller, steering_target,
)
from tree cimport Tree, tree_raise


cdef extern from *:
    """
    #define FEEDBACK_IDLE_NS (60 * INT64_C(1000000000))
    /* Of whom there is nothing to keep in mind. */
    #define FEEDBACK_IDLE_UNKNOWN_NS (3 * INT64_C(1000000000))
    """
    const int64_t FEEDBACK_IDLE_NS
    const int64_t FEEDBACK_IDLE_UNKNOWN_NS

cdef struct Feedback:
    uint32_t* rows       # that are followed, capacity of the client table
    uint32_t rows_n
    FeedLog log


cdef inline int feedback_init(Feedback* fb, uint32_t capacity) noexcept nogil:
    memset(fb, 0, sizeof(Feedback))
    fb.rows = <uint32_t*>mapping_new(sizeof(uint32_t) * capacity)
    return 0 if fb.rows != NULL else -ENOMEM


cdef inline void feedback_free(Feedback* fb, uint32_t capacity) noexcept nogil:
    mapping_free(fb.rows, sizeof(uint32_t) * capacity)
    fb.rows = NULL


cdef inline void feedback_follow(
    Feedback* fb, Clients* t, uint32_t row, int64_t now_ns
) noexcept nogil:
    cdef Feed* f = &t.feeds[row]
    cdef const Client* c = clients_at(t, row)
    feed_clear(f)
    f.followed = True
    f.active_ns = now_ns
    f.bytes_total = atomic_load_i64(&c.bytes_total)
    # Of the first second that it is followed, part was not seen.
    f.second.number = now_ns // NS_PER_S
    # An RTT of long ago, or of the client whose row this was, is none of this path's.
    atomic_store_i64(&f.signals.srtt_ns, 0)
    adaptive_init(&f.adaptive, c.allowed.rate_bps, now_ns)
    breaker_init(&f.breaker, now_ns)
    fb.rows[fb.rows_n] = row
    fb.rows_n += 1


cdef inline void feedback_listen(Feed* f, int64_t now_ns) noexcept nogil:
    """From here on the controller and the breaker look at it; what the network said
    before that is taken."""
    f.round_ns = f.sample_ns = f.min_rtt_since_ns = now_ns
    f.round_bytes = f.sample_bytes = f.bytes_total
    f.round_acked = atomic_load_i64(&f.signals.acked_bytes)
    f.round_segments = f.sample_segments = atomic_load_i64(&f.signals.segments)
    f.round_retrans = f.sample_retrans = atomic_load_i64(&f.signals.retrans)
    f.round_marked = atomic_load_i64(&f.signals.marked)
    f.min_rtt_ns = f.min_rtt_next_ns = 0
    signals_take_min_rtt(&f.signals)
    dualloop_init(&f.dualloop, now_ns)


cdef inline void feedback_gather(
    Feedback* fb, Clients* t, int64_t now_ns
) noexcept nogil:
    """Follow those who are active now and have a mode."""
    cdef uint64_t bits, bit
    cdef uint32_t word, row
    for word in range(t.unfed.words_n):
        bits = activity_take(&t.unfed, word)
        while bits:
            bit = bits & (~bits + 1)
            bits ^= bit
            row = word * ACTIVITY_WORD_BITS + word_lowest_bit(bit)
            if row >= CLIENT_FIRST and clients_at(t, row).allowed.mode != FEED_OFF:
                if not t.feeds[row].followed:
                    feedback_follow(fb, t, row, now_ns)


cdef inline void feedback_run_at(
    Tree* tree, Clients* t, uint32_t row, int64_t now_ns
) noexcept nogil:
    """Let the bucket follow its new limit. Who takes part where the tree divides is
    raised by the next control pass, within what the client's share is by then."""
    cdef Client* c = clients_at(t, row)
    cdef int64_t old = atomic_load_i64(&c.bucket.rate_bps)
    cdef int64_t new = allowance_limit_bps(&c.allowed, clients_cap_bps(t, row))
    if tree.divides and c.listed and tighter_bps(old, new) == old:
        return
    allowance_shape(&c.allowed, &c.bucket)
    bucket_set_rate(&c.bucket, new, now_ns)
    tree_raise(tree, c, row, old, new)


cdef inline void feedback_decide(Feed* f) noexcept nogil:
    """The least of the three terms."""
    cdef int64_t limit = tighter_bps(
        tighter_bps(f.target_bps, f.controller_bps), f.breaker_bps)
    f.congested = f.controller_bps or f.breaker_bps
    f.limit_by = LIMITER_NONE
    if limit:
        if limit == f.breaker_bps:
            f.limit_by = LIMITER_BREAKER
        elif limit == f.controller_bps:
            f.limit_by = LIMITER_CONTROLLER
        else:
            f.limit_by = LIMITER_ADAPTIVE
    atomic_store_i64(&f.limit_bps, limit)


cdef inline bint feedback_is_unknown(const Feed* f) noexcept nogil:
    """Its path never met congestion: who begins anew is known as well."""
    return (
        f.dualloop.window_bytes == 0 and f.breaker.trips_n == 0
        and f.breaker.bad_n == 0)


cdef inline bint feedback_is_over(const Feed* f, int64_t now_ns) noexcept nogil:
    """A row that is followed is not given to another client, and a client with an
    address for each request must not keep as many of them for a minute."""
    cdef int64_t most_ns = FEEDBACK_IDLE_NS
    if feedback_is_unknown(f):
        most_ns = FEEDBACK_IDLE_UNKNOWN_NS
    return (
        now_ns - f.active_ns >= most_ns and f.target_bps == 0
        and f.breaker.state == BREAKER_IS_CLOSED)


cdef inline void feedback_look(
    Clients* t, Feed* f, Look* look, uint32_t row, int64_t now_ns
) noexcept nogil:
    cdef const Client* c = clients_at(t, row)
    cdef int64_t total = atomic_load_i64(&c.bytes_total)
    look.clients = t
    look.row = row
    look.now_ns = now_ns
    look.rate_bps = c.allowed.rate_bps
    look.wants = (
        activity_has(&t.unfed_short, row) or atomic_load_i32(&c.parked) > 0)
    if look.wants or total != f.bytes_total:
        f.active_ns = now_ns
    f.bytes_total = total


cdef inline bint feedback_one(
    Feedback* fb, Tree* tree, Clients* t, uint32_t row, int64_t now_ns
) noexcept nogil:
    """False when it is not followed any more."""
    cdef Feed* f = &t.feeds[row]
    cdef int64_t before = f.limit_bps
    cdef uint32_t noted = fb.log.n
    cdef uint8_t mode = clients_at(t, row).allowed.mode
    cdef Look look
    feedback_look(t, f, &look, row, now_ns)
    if mode == FEED_FULL and f.mode != FEED_FULL:
        feedback_listen(f, now_ns)
    f.mode = mode
    steering_target(&fb.log, f, &look)
    if f.mode == FEED_FULL:
        steering_controller(&fb.log, f, &look)
        steering_breaker(&fb.log, f, &look)
    else:
        f.controller_bps = f.breaker_bps = 0
        f.breaker.state = BREAKER_IS_CLOSED
    # A change is told with the name of the row, so that the row is kept until then.
    if fb.log.n == noted and (f.mode == FEED_OFF or feedback_is_over(f, now_ns)):
        f.followed = False
        f.target_bps = f.controller_bps = f.breaker_bps = 0
    feedback_decide(f)
    if f.limit_bps != before:
        feedback_run_at(tree, t, row, now_ns)
    return f.followed


cdef inline void feedback_pass(
    Feedback* fb, Tree* tree, Clients* t, int64_t now_ns
) noexcept nogil:
    """After ``tree_pass``; rows to be timed anew are added to the tree's."""
    cdef uint32_t i = 0
    cdef uint32_t alarmed = 0
    cdef uint32_t word
    if not t.senses:
        return
    feedback_gather(fb, t, now_ns)
    while i < fb.rows_n:
        if feedback_one(fb, tree, t, fb.rows[i], now_ns):
            alarmed += t.feeds[fb.rows[i]].breaker.state != BREAKER_IS_CLOSED
            i += 1
        else:
            fb.rows_n -= 1
            fb.rows[i] = fb.rows[fb.rows_n]
    for word in range(t.unfed_short.words_n):
        activity_take(&t.unfed_short, word)
    atomic_store_u32(&t.alarmed, alarmed)
