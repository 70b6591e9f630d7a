"""Adaptive: a client's target, which makes good what the shaper fails to deliver.

The configured rate R is never touched; the target T is one more term of the minimum.
Once a second it is told what the last complete second showed.

* T rises, when for ten seconds on end the client took tokens as fast as they came and
  was held by nothing but its own bucket, and yet was sent less than 85 % of T. Then
  tokens were charged and not delivered: ``raises`` says how often. Whoever is idle, or
  held by its own reading or its network, lets tokens pile up, and never raises. The
  other reading, "it sends little, so it may have more", would raise idle clients
  without end (RFC 7661 says the same of a congestion window).
* T falls, when the client was sent more than 120 % of T and again and again had no
  token left. With an exact bucket the most of any ten seconds is 120 %, so this is a
  net for leaks: bytes that no token paid, and debts. The divisor is always ten seconds,
  as a fresh burst is no offence; nor is what was borrowed up to a ceil, or a burst that
  was configured: what the bucket allowed is never too much.
* The two factors do not undo each other, and a mean of ten seconds lags: so a step
  comes only when every second of the mean is younger than the last change of T or R.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from c_time cimport NS_PER_S


cdef enum:
    ADAPTIVE_SLOTS = 10   # complete seconds of a mean
    # Of them, those at whose end no token was left: fewer are chance.
    ADAPTIVE_EXHAUSTED_LEAST = 2

cdef extern from *:
    """
    #define ADAPTIVE_STOCK_SHARE 0.05    /* of what a bucket holds: nearly none */
    #define ADAPTIVE_CEIL_SHARE_MOST 2.0
    """
    const double ADAPTIVE_STOCK_SHARE
    const double ADAPTIVE_CEIL_SHARE_MOST

cdef enum AdaptiveChange:
    ADAPTIVE_NONE
    ADAPTIVE_RAISED
    ADAPTIVE_LOWERED
    ADAPTIVE_RESET     # the target is the rate again

cdef struct AdaptiveRules:
    double low            # share of the target: a mean below is too little
    double high           # and one above too much
    double raising        # factor of a step up
    double lowering       # and of one down
    double floor_share    # of the rate
    int64_t floor_bps     # the floor is not below this, if the rate is not
    double ceil_share     # of the rate, at most ADAPTIVE_CEIL_SHARE_MOST
    int64_t idle_ns       # after so long the target is the rate again

cdef struct AdaptiveSlot:
    # What one complete second showed.
    int64_t rate_bps      # R at its end; 0: unlimited
    int64_t bytes         # sent, what no token paid included
    int64_t allowed_bps   # the most that its bucket lets through, over a mean's time
    bint backlogged       # a transfer waited for tokens
    bint stock_low        # adaptive_stock_low at its end
    bint exhausted        # not a token was left at its end
    bint bound_by_own     # nothing but the client's own bucket held it
    bint cut              # the controller or the breaker lowered its limit

cdef struct AdaptiveSeen:
    int64_t bytes
    int64_t allowed_bps
    bint exhausted

cdef struct Adaptive:
    int64_t rate_bps      # R
    int64_t target_bps    # T; 0: unlimited
    int64_t changed_ns    # when either was changed last
    int64_t busy_ns       # when it was last seen to send or to wait
    int64_t second        # of the last slot
    AdaptiveSeen seen[ADAPTIVE_SLOTS]   # by second
    uint32_t slots_n      # since the last change, at most ADAPTIVE_SLOTS
    uint32_t short_n      # of them, the latest ones without a break that speak for more
    int64_t raises


cdef inline void adaptive_rules_init(AdaptiveRules* r) noexcept nogil:
    r.low = 0.85
    r.high = 1.20
    r.raising = 1.05
    r.lowering = 0.97
    r.floor_share = 0.25
    r.floor_bps = 125000   # 1 Mb/s
    r.ceil_share = 1.0
    r.idle_ns = 60 * NS_PER_S


cdef inline bint adaptive_stock_low(
    int64_t fill_bytes, int64_t capacity_bytes, int64_t quantum_bytes
) noexcept nogil:
    """Whether a bucket holds next to nothing: at most a quantum or 5 %."""
    return (
        fill_bytes <= quantum_bytes
        or <double>fill_bytes <= ADAPTIVE_STOCK_SHARE * <double>capacity_bytes)


cdef inline int64_t adaptive_floor_bps(
    const AdaptiveRules* r, int64_t rate_bps
) noexcept nogil:
    cdef int64_t share = <int64_t>(<double>rate_bps * r.floor_share)
    return max(share, min(rate_bps, r.floor_bps))


cdef inline int64_t adaptive_ceil_bps(
    const AdaptiveRules* r, int64_t rate_bps
) noexcept nogil:
    cdef double share = min(r.ceil_share, ADAPTIVE_CEIL_SHARE_MOST)
    return <int64_t>(<double>rate_bps * share)


cdef inline int64_t adaptive_bounded(
    const AdaptiveRules* r, int64_t target_bps, int64_t rate_bps
) noexcept nogil:
    """The ceil wins where someone set it below the floor."""
    cdef int64_t least = adaptive_floor_bps(r, rate_bps)
    return min(max(target_bps, least), adaptive_ceil_bps(r, rate_bps))


cdef inline void adaptive_init(
    Adaptive* a, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    memset(a, 0, sizeof(Adaptive))
    a.rate_bps = a.target_bps = rate_bps
    a.changed_ns = a.busy_ns = now_ns
    a.second = now_ns // NS_PER_S - 1


cdef inline void adaptive_set(
    Adaptive* a, int64_t target_bps, int64_t now_ns
) noexcept nogil:
    """What was sent at another target says nothing of this one."""
    a.target_bps = target_bps
    a.changed_ns = now_ns
    a.slots_n = a.short_n = 0


cdef inline void adaptive_rate_changed(
    Adaptive* a, const AdaptiveRules* r, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    """R is ``rate_bps`` now: T keeps its proportion, within the new bounds. Nothing
    happens when it is no other."""
    cdef double scale
    if rate_bps == a.rate_bps:
        return
    if rate_bps == 0 or a.rate_bps == 0:
        adaptive_set(a, rate_bps, now_ns)
    else:
        scale = <double>a.target_bps / <double>a.rate_bps
        adaptive_set(
            a, adaptive_bounded(r, <int64_t>(<double>rate_bps * scale), rate_bps),
            now_ns)
    a.rate_bps = rate_bps


cdef inline AdaptiveChange adaptive_idle(
    Adaptive* a, const AdaptiveRules* r, int64_t now_ns
) noexcept nogil:
    """To be asked before a client that comes back is held to its target: whoever was
    idle for a minute starts with R, from either side."""
    if now_ns - a.busy_ns < r.idle_ns or a.target_bps == a.rate_bps:
        return ADAPTIVE_NONE
    adaptive_set(a, a.rate_bps, now_ns)
    return ADAPTIVE_RESET


cdef inline void adaptive_skip(Adaptive* a, int64_t second) noexcept nogil:
    """Seconds before ``second`` of which nobody told were silent. The one in which T or
    R changed counts as little as if it had been told of."""
    cdef int64_t known = max(a.second, a.changed_ns // NS_PER_S)
    cdef int64_t missed = min(second - 1 - known, <int64_t>ADAPTIVE_SLOTS)
    cdef int64_t i
    for i in range(missed):
        memset(
            &a.seen[(second - 1 - i) % ADAPTIVE_SLOTS], 0, sizeof(AdaptiveSeen))
    if missed > 0:
        a.short_n = 0
        a.slots_n = <uint32_t>min(a.slots_n + missed, <int64_t>ADAPTIVE_SLOTS)


cdef inline void adaptive_note(
    Adaptive* a, const AdaptiveSlot* slot, int64_t second
) noexcept nogil:
    cdef AdaptiveSeen* seen = &a.seen[second % ADAPTIVE_SLOTS]
    cdef bint speaks = (
        slot.backlogged and slot.stock_low and slot.bound_by_own and not slot.cut)
    seen.bytes = slot.bytes
    seen.allowed_bps = slot.allowed_bps
    seen.exhausted = slot.exhausted
    a.slots_n = min(a.slots_n + 1, <uint32_t>ADAPTIVE_SLOTS)
    a.short_n = min(a.short_n + 1, <uint32_t>ADAPTIVE_SLOTS) if speaks else 0


cdef inline double adaptive_mean_bps(const Adaptive* a) noexcept nogil:
    cdef int64_t total = 0
    cdef int i
    for i in range(ADAPTIVE_SLOTS):
        total += a.seen[i].bytes
    return <double>total / ADAPTIVE_SLOTS


cdef inline bint adaptive_leaks(
    const Adaptive* a, const AdaptiveRules* r, double mean_bps
) noexcept nogil:
    """Whether more was sent than tokens can have paid."""
    cdef double most_bps = r.high * <double>a.target_bps
    cdef int exhausted_n = 0
    cdef int i
    for i in range(ADAPTIVE_SLOTS):
        most_bps = max(most_bps, <double>a.seen[i].allowed_bps)
        exhausted_n += a.seen[i].exhausted
    return exhausted_n >= ADAPTIVE_EXHAUSTED_LEAST and mean_bps > most_bps


cdef inline AdaptiveChange adaptive_step(
    Adaptive* a, const AdaptiveRules* r, bint exhausted, int64_t now_ns
) noexcept nogil:
    cdef double target = <double>a.target_bps
    cdef double mean
    cdef int64_t to
    cdef bint up
    if a.slots_n < ADAPTIVE_SLOTS:
        return ADAPTIVE_NONE
    mean = adaptive_mean_bps(a)
    if a.short_n == ADAPTIVE_SLOTS and mean < r.low * target:
        to = <int64_t>(target * r.raising)
    elif exhausted and adaptive_leaks(a, r, mean):
        to = <int64_t>(target * r.lowering)
    else:
        return ADAPTIVE_NONE
    to = adaptive_bounded(r, to, a.rate_bps)
    if to == a.target_bps:
        return ADAPTIVE_NONE
    up = to > a.target_bps
    a.raises += up
    adaptive_set(a, to, now_ns)
    return ADAPTIVE_RAISED if up else ADAPTIVE_LOWERED


cdef inline AdaptiveChange adaptive_slot(
    Adaptive* a, const AdaptiveRules* r, const AdaptiveSlot* slot, int64_t now_ns
) noexcept nogil:
    """The second before that of ``now_ns`` is complete, and ``slot`` is what it showed.
    Once a second; seconds that are left out were silent."""
    cdef int64_t second = now_ns // NS_PER_S - 1
    cdef AdaptiveChange change = adaptive_idle(a, r, now_ns)
    adaptive_rate_changed(a, r, slot.rate_bps, now_ns)
    if slot.bytes or slot.backlogged:
        a.busy_ns = now_ns
    if second <= a.second:
        return change
    if second * NS_PER_S < a.changed_ns:   # it began before the change
        a.second = second
        return change
    adaptive_skip(a, second)
    adaptive_note(a, slot, second)
    a.second = second
    return adaptive_step(a, r, slot.exhausted, now_ns)
