"""Estimator: the bandwidth that the path of one transfer has shown, from TCP_INFO.

A sample is the bytes that were acknowledged in an interval, divided by it. Intervals
last at least one RTT, as within one acknowledgements come in bunches: an interval of
exactly an RTT is "acknowledged bytes / RTT"; a longer one, because who asks comes by
only so often, is divided by its own length, which is the same rate seen for longer.

Samples are smoothed, and the answer is the most that the smoothed value was within the
last W samples, W growing with the RTT. What was sent slower than the path could, since
tokens or the application held it, says nothing about the path: such a sample may raise
the estimate and never lowers or ages it. So a limit that follows from the estimate does
not drag it down.

The maximum is kept in blocks of ceil(W / 8) samples, which leave the window as a whole:
it covers W samples, give or take less than a block, in 32 bytes. Exact up to W = 8.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

from bucket cimport RATE_MAX_BPS
from c_time cimport NS_PER_MS, NS_PER_S


cdef enum:
    ESTIMATOR_BLOCKS = 8
    ESTIMATOR_NONE_HELD = 255
    # Beyond, a block would have more samples than its counter can count.
    ESTIMATOR_WINDOW_MOST = 1024

cdef struct EstimatorRules:
    double keeps             # of the estimate, when a sample comes
    double rtt_most          # an RTT of so many SRTTs spoils the sample
    int64_t window_unit_ns   # the window has a sample for each of these in the SRTT,
    uint32_t window_least    # but at least so many
    uint32_t window_most     # and at most so many

cdef struct Estimator:
    double smoothed_bps              # 0: no sample yet
    int64_t began_ns                 # of the running interval
    int64_t acked_bytes              # in it
    float most_bps[ESTIMATOR_BLOCKS] # of each block
    uint8_t at                       # the block that is being filled
    uint8_t held                     # how many samples it has
    uint8_t blocks                   # that make the window
    uint8_t spoiled                  # the interval tells nothing
    uint8_t limited                  # it may only raise


cdef inline void estimator_rules_init(EstimatorRules* r) noexcept nogil:
    r.keeps = 0.85
    r.rtt_most = 2.0
    r.window_unit_ns = 10 * NS_PER_MS
    r.window_least = 8
    r.window_most = 64


cdef inline void estimator_restart(Estimator* e, int64_t now_ns) noexcept nogil:
    e.began_ns = now_ns
    e.acked_bytes = 0
    e.spoiled = e.limited = False


cdef inline void estimator_init(Estimator* e, int64_t now_ns) noexcept nogil:
    """When the transfer begins, or its counters were read for the first time."""
    memset(e, 0, sizeof(Estimator))
    e.at = ESTIMATOR_BLOCKS - 1
    e.held = ESTIMATOR_NONE_HELD
    estimator_restart(e, now_ns)


cdef inline uint32_t estimator_window(
    const EstimatorRules* r, int64_t srtt_ns
) noexcept nogil:
    """W, in samples."""
    cdef int64_t n = srtt_ns // r.window_unit_ns
    n = min(max(n, <int64_t>r.window_least), <int64_t>r.window_most)
    return <uint32_t>min(max(n, <int64_t>1), <int64_t>ESTIMATOR_WINDOW_MOST)


cdef inline void estimator_note(
    Estimator* e, const EstimatorRules* r, int64_t srtt_ns
) noexcept nogil:
    """The smoothed value is one of the window's."""
    cdef uint32_t window = estimator_window(r, srtt_ns)
    cdef uint32_t block = (window + ESTIMATOR_BLOCKS - 1) // ESTIMATOR_BLOCKS
    cdef float bps = <float>e.smoothed_bps
    e.blocks = <uint8_t>((window + block - 1) // block)
    if e.held >= block:
        e.at = (e.at + 1) % ESTIMATOR_BLOCKS
        e.held = 0
        e.most_bps[e.at] = 0
    e.held += 1
    e.most_bps[e.at] = max(e.most_bps[e.at], bps)


cdef inline bint estimator_take(
    Estimator* e, const EstimatorRules* r, double sample_bps, int64_t srtt_ns
) noexcept nogil:
    if e.spoiled or (e.limited and sample_bps <= e.smoothed_bps):
        return False
    if e.smoothed_bps == 0:
        e.smoothed_bps = sample_bps
    else:
        e.smoothed_bps = r.keeps * e.smoothed_bps + (1 - r.keeps) * sample_bps
    estimator_note(e, r, srtt_ns)
    return True


cdef inline bint estimator_sample(
    Estimator* e, const EstimatorRules* r, int64_t acked_bytes, int64_t rtt_ns,
    int64_t srtt_ns, int64_t retrans_delta, bint app_or_token_limited, int64_t now_ns
) noexcept nogil:
    """What TCP_INFO says since the last call; as often as wanted. True when an interval
    of at least ``rtt_ns`` ended and its sample was taken: nothing was retransmitted in
    it, and every RTT was known and less than twice the smoothed one."""
    cdef int64_t elapsed_ns = now_ns - e.began_ns
    cdef bint taken
    if elapsed_ns <= 0:  # what came before the first look, took how long nobody knows
        estimator_restart(e, now_ns)
        return False
    e.acked_bytes += acked_bytes
    e.limited = e.limited or app_or_token_limited
    if retrans_delta or rtt_ns <= 0 or <double>rtt_ns >= r.rtt_most * <double>srtt_ns:
        e.spoiled = True
    if elapsed_ns < rtt_ns:
        return False
    taken = estimator_take(
        e, r, <double>e.acked_bytes * NS_PER_S / <double>elapsed_ns, srtt_ns)
    estimator_restart(e, now_ns)
    return taken


cdef inline int64_t estimator_bps(const Estimator* e) noexcept nogil:
    """The most of the window; 0: nothing is known."""
    cdef float most = 0
    cdef uint8_t i
    for i in range(e.blocks):
        most = max(
            most, e.most_bps[(e.at + ESTIMATOR_BLOCKS - i) % ESTIMATOR_BLOCKS])
    return <int64_t>min(most, <float>RATE_MAX_BPS)
