"""Dualloop: the controller of one client, from what TCP says of loss, ECN and RTT.

It is a window, the bytes that a client may have under way on all its connections, and
divided by the smoothed RTT a rate: one more term of the minimum. It is the sum of a
window for each connection, of which two loops turn the sum:

* The inner one cuts. Loss, that is segments retransmitted within a round: to a half. CE
  marks in three rounds on end: to 0.3. At least an RTT lies between two cuts, and a
  round that began before the last one had shown its effect does not cut again. While
  more arrives than the window lets through it has shown none: that lay in the sockets'
  buffers when the window was cut, and its loss says nothing of what is left.
* The outer one grows, by a segment an RTT up to ``ssthresh``, beyond by a quantum. Only
  in a round that was clean, and that the window really held (RFC 7661): a client that
  does not use its window does not earn a larger one.

Each connection grows by its own segment. One lost segment is the loss of one connection
and halves the window of that one, so of four connections' sum an eighth goes; as many
lost as there are connections halve it all. A queue that overflows drops from all of
them, chance from one at a time: the sum gives way as its connections do by themselves,
and a client with many of them is not held to what a single one would get on a path that
loses by chance (which an RTT and the loss alone decide, not what the path carries).

It begins with no limit at all, as nothing is known, and so a client that never met loss
or CE is never slowed down. The first congestion finds out what the path carried: the
window is then the estimate times the RTT, cut. Likewise later, when a window has not
been used up: what is cut is what the path has shown, not what was merely allowed.

``ssthresh`` is 0.8 of the bandwidth-delay product (the windowed maximum of estimates
times the least RTT, so that a client's own limit does not drag it down), or 0.8 of the
window that met congestion last, if that is less: an estimate from before the path
shrank must not make the way back a creep. Only a cut lowers it.

Whatever the RTT, a round adds at most an eighth of the window (or a segment each):
several RTTs can pass between two looks, so many blind steps would be a leap, and a
quantum can be more than all that a short path holds.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from bucket cimport RATE_MAX_BPS
from c_time cimport NS_PER_S


cdef extern from *:
    """
    #define DUALLOOP_WINDOW_MOST_BYTES (INT64_C(1) << 40)
    """
    const int64_t DUALLOOP_WINDOW_MOST_BYTES

cdef enum DualLoopChange:
    DUALLOOP_NONE
    DUALLOOP_EARLY      # less than an RTT has passed: nothing was looked at
    DUALLOOP_GREW
    DUALLOOP_LOSS       # cut for loss
    DUALLOOP_CE         # cut for congestion marks

cdef struct DualLoopRules:
    double loss_keeps       # of the window, at a loss
    double ce_keeps         # and at the last of ce_rounds rounds with marks
    uint32_t ce_rounds
    double ssthresh_share   # of the bandwidth-delay product
    double growth_most      # of the window, in one round
    double effect_most      # of the limit: who still delivers more was not yet cut
    uint32_t floor_segments # of the least window, for each connection
    int64_t forget_ns       # without a round for so long: no limit again

cdef struct DualLoopSample:
    # Of all of the client's connections, since the last round that was not early.
    int64_t elapsed_ns
    int64_t srtt_ns         # 0: unknown
    int64_t min_rtt_ns
    int64_t mss_bytes
    int64_t connections     # at least 1
    int64_t quantum_bytes   # of the client's bucket
    int64_t estimate_bps    # windowed maxima, summed; 0: unknown
    int64_t current_bps     # sent in this round: what transfers without estimate show
    int64_t acked_bps       # of what was sent earlier
    int64_t retrans_delta   # segments
    int64_t ce_delta        # segments that were delivered with a mark
    bint limited            # the window, and nothing else, held the client

cdef struct DualLoop:
    int64_t window_bytes    # 0: no limit
    int64_t met_bytes       # the window that met congestion last
    int64_t ssthresh_bytes  # growth is slow up to here
    int64_t srtt_ns         # of the last round
    int64_t round_ns        # when that was
    int64_t settled_ns      # rounds that began earlier do not cut
    uint32_t ce_rounds      # with marks, on end


cdef inline void dualloop_rules_init(DualLoopRules* r) noexcept nogil:
    r.loss_keeps = 0.5
    r.ce_keeps = 0.3
    r.ce_rounds = 3
    r.ssthresh_share = 0.8
    r.growth_most = 0.125
    r.effect_most = 1.25
    r.floor_segments = 2
    r.forget_ns = 60 * NS_PER_S


cdef inline void dualloop_init(DualLoop* d, int64_t now_ns) noexcept nogil:
    memset(d, 0, sizeof(DualLoop))
    d.round_ns = now_ns


cdef inline int64_t dualloop_bytes(int64_t bps, int64_t ns) noexcept nogil:
    cdef double n = <double>bps * <double>ns / NS_PER_S
    return <int64_t>min(n, <double>DUALLOOP_WINDOW_MOST_BYTES)


cdef inline int64_t dualloop_floor(
    const DualLoopRules* r, const DualLoopSample* s
) noexcept nogil:
    return r.floor_segments * s.mss_bytes * s.connections


cdef inline int64_t dualloop_shown_bps(const DualLoopSample* s) noexcept nogil:
    """What the path has carried. Transfers that just began have no estimate yet."""
    return max(s.estimate_bps, s.current_bps)


cdef inline int64_t dualloop_aim(
    const DualLoop* d, const DualLoopRules* r, const DualLoopSample* s
) noexcept nogil:
    cdef int64_t product = dualloop_bytes(dualloop_shown_bps(s), s.min_rtt_ns)
    cdef int64_t known = min(product, d.met_bytes)
    return max(<int64_t>(r.ssthresh_share * <double>known), dualloop_floor(r, s))


cdef inline int64_t dualloop_used(
    const DualLoop* d, const DualLoopSample* s
) noexcept nogil:
    """Of the window, what the path has carried; 0: nothing is known."""
    cdef int64_t shown = dualloop_bytes(dualloop_shown_bps(s), s.srtt_ns)
    if d.window_bytes == 0 or (shown and shown < d.window_bytes):
        return shown
    return d.window_bytes


cdef inline int64_t dualloop_losers(const DualLoopSample* s) noexcept nogil:
    """How many connections lost something, at most."""
    return min(s.retrans_delta, s.connections)


cdef inline double dualloop_kept(
    const DualLoopRules* r, const DualLoopSample* s
) noexcept nogil:
    """Of the window, after loss: halved are the parts of the connections that lost."""
    cdef double lost = <double>dualloop_losers(s) / <double>s.connections
    return 1 - (1 - r.loss_keeps) * lost


cdef inline bint dualloop_is_late(
    const DualLoop* d, const DualLoopRules* r, const DualLoopSample* s
) noexcept nogil:
    """More arrives than the window lets through."""
    cdef double allowed_bps = <double>d.window_bytes * NS_PER_S / <double>s.srtt_ns
    return d.window_bytes and <double>s.acked_bps > r.effect_most * allowed_bps


cdef inline bint dualloop_cut(
    DualLoop* d, const DualLoopRules* r, const DualLoopSample* s, double keeps,
    int64_t now_ns
) noexcept nogil:
    """False: not now, or there is nothing to cut from."""
    cdef int64_t used = dualloop_used(d, s)
    if used == 0 or (d.window_bytes and now_ns - s.elapsed_ns < d.settled_ns):
        return False
    d.met_bytes = used
    d.window_bytes = max(<int64_t>(keeps * <double>used), dualloop_floor(r, s), 1)
    d.settled_ns = now_ns + s.srtt_ns
    d.ce_rounds = 0
    d.ssthresh_bytes = dualloop_aim(d, r, s)
    return True


cdef inline int64_t dualloop_step(
    const DualLoop* d, const DualLoopRules* r, const DualLoopSample* s, int64_t each
) noexcept nogil:
    """What ``each`` RTT adds, over the round."""
    cdef int64_t most = max(
        <int64_t>(r.growth_most * <double>d.window_bytes), s.mss_bytes * s.connections)
    return <int64_t>min(
        <double>each * <double>s.elapsed_ns / <double>s.srtt_ns, <double>most)


cdef inline DualLoopChange dualloop_grow(
    DualLoop* d, const DualLoopRules* r, const DualLoopSample* s
) noexcept nogil:
    cdef int64_t each = s.mss_bytes * s.connections
    if d.window_bytes == 0 or not s.limited:
        return DUALLOOP_NONE
    d.ssthresh_bytes = max(d.ssthresh_bytes, dualloop_aim(d, r, s))
    if d.window_bytes >= d.ssthresh_bytes:
        each = max(each, s.quantum_bytes)
    d.window_bytes = min(
        d.window_bytes + dualloop_step(d, r, s, each), DUALLOOP_WINDOW_MOST_BYTES)
    return DUALLOOP_GREW


cdef inline DualLoopChange dualloop_lose(
    DualLoop* d, const DualLoopRules* r, const DualLoopSample* s, int64_t now_ns
) noexcept nogil:
    """Who lost is halved; the others grow, but their sum not above what lost."""
    cdef int64_t others = s.connections - dualloop_losers(s)
    if not dualloop_cut(d, r, s, dualloop_kept(r, s), now_ns):
        return DUALLOOP_NONE
    if s.limited and d.window_bytes < d.met_bytes:
        d.window_bytes = min(
            d.window_bytes + dualloop_step(d, r, s, others * s.mss_bytes), d.met_bytes)
    return DUALLOOP_LOSS


cdef inline DualLoopChange dualloop_round(
    DualLoop* d, const DualLoopRules* r, const DualLoopSample* s, int64_t now_ns
) noexcept nogil:
    """At most once an RTT: what comes earlier is not looked at, and its counts belong
    to the next sample."""
    if s.srtt_ns <= 0 or s.elapsed_ns < s.srtt_ns:
        return DUALLOOP_EARLY
    if now_ns - d.round_ns >= r.forget_ns:
        dualloop_init(d, now_ns)
    d.round_ns = now_ns
    d.srtt_ns = s.srtt_ns
    if dualloop_is_late(d, r, s):
        d.settled_ns = now_ns + s.srtt_ns
    d.ce_rounds = d.ce_rounds + 1 if s.ce_delta > 0 else 0
    if s.retrans_delta > 0:
        return dualloop_lose(d, r, s, now_ns)
    if d.ce_rounds >= r.ce_rounds and dualloop_cut(d, r, s, r.ce_keeps, now_ns):
        return DUALLOOP_CE
    if s.ce_delta > 0:
        return DUALLOOP_NONE
    return dualloop_grow(d, r, s)


cdef inline int64_t dualloop_rate_bps(const DualLoop* d) noexcept nogil:
    """0: no limit."""
    cdef double bps
    if d.window_bytes == 0:
        return 0
    bps = <double>d.window_bytes * NS_PER_S / <double>d.srtt_ns
    return max(<int64_t>min(bps, <double>RATE_MAX_BPS), 1)
