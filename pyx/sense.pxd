"""Sense: what TCP_INFO (tcp(7)) says of one connection, since it was asked last.

The kernel counts over the life of a connection; here are the differences, which go to
the signals of the client whose transfer runs on it, and to the transfer's estimate of
bandwidth. Who asks, and how often, says ``sensing``.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from c_tcpinfo cimport TCPINFO_ECN, tcpinfo
from estimator cimport (
    Estimator, EstimatorRules, estimator_bps, estimator_init, estimator_sample,
)
from signals cimport (
    SIGNALS_SRTT_SHARE, Signals, signals_add, signals_min_rtt, signals_srtt,
)


cdef extern from *:
    """
    #define SENSE_NS_PER_US INT64_C(1000)
    #define SENSE_RTT_NONE (~UINT32_C(0))
    /* A connection is asked once per RTT, but not more often than this. */
    #define SENSE_LEAST_NS INT64_C(10000000)
    """
    const int64_t SENSE_NS_PER_US
    const uint32_t SENSE_RTT_NONE
    const int64_t SENSE_LEAST_NS

cdef enum:
    SENSE_OF_NONE = 0        # of a slot that is taken, generations are odd

cdef struct Sense:
    Estimator estimator
    int64_t due_ns           # when it is asked next
    int64_t estimate_bps     # what it contributes to its client's
    int64_t srtt_ns          # slower than the kernel's own
    uint64_t acked_bytes     # counters of the connection as they were
    uint32_t segments
    uint32_t retrans
    uint32_t marked
    uint32_t client          # row
    uint32_t generation      # of the connection's slot
    uint8_t used             # belongs to a transfer that runs
    uint8_t first            # nothing was counted yet


cdef inline void sense_forget(Sense* s, Signals* signals) noexcept nogil:
    """The transfer ends: its estimate counts no more."""
    if s.used:
        signals_add(&signals.estimate_bps, -s.estimate_bps)
    s.used = False
    s.estimate_bps = 0


cdef inline void sense_lose(Sense* s) noexcept nogil:
    """What the connection counts from here on is nobody's, until it is begun with."""
    s.generation = SENSE_OF_NONE


cdef inline void sense_first(
    Sense* s, uint32_t client, uint32_t generation
) noexcept nogil:
    """A transfer starts on a connection that has sent nothing: all that will be counted
    is of its client."""
    s.client = client
    s.generation = generation
    s.first = True
    s.acked_bytes = 0
    s.segments = s.retrans = s.marked = 0


cdef inline void sense_baseline(Sense* s, const tcpinfo* info) noexcept nogil:
    s.acked_bytes = info.bytes_acked
    s.segments = info.data_segs_out
    s.retrans = info.total_retrans
    s.marked = info.delivered_ce


cdef inline uint32_t sense_handshake(const tcpinfo* info) noexcept nogil:
    """How often the SYN-ACK was sent again. The kernel counts that, too, and does it to
    whoever connects and says nothing for a second (TCP_DEFER_ACCEPT): no loss."""
    cdef uint64_t mss = max(info.snd_mss, <uint32_t>1)
    cdef uint64_t data = (info.bytes_retrans + mss - 1) // mss
    return info.total_retrans - <uint32_t>min(<uint64_t>info.total_retrans, data)


cdef inline void sense_begin(
    Sense* s, uint32_t client, uint32_t generation, const tcpinfo* info, int64_t now_ns
) noexcept nogil:
    """Of a transfer that is seen for the first time. On a connection on which another
    one of the same client was followed, the counters go on from there."""
    estimator_init(&s.estimator, now_ns)
    if s.generation != generation or s.client != client:
        sense_baseline(s, info)
    elif s.first:
        s.retrans = sense_handshake(info)
    s.first = False
    s.client = client
    s.generation = generation
    s.used = True
    s.estimate_bps = s.srtt_ns = 0


cdef inline int64_t sense_rtt_ns(const tcpinfo* info) noexcept nogil:
    """The kernel's smoothed RTT; 0: it has measured none."""
    if info.min_rtt_us == SENSE_RTT_NONE:
        return 0
    return info.rtt_us * SENSE_NS_PER_US


cdef inline void sense_rtt(
    Sense* s, Signals* signals, const tcpinfo* info
) noexcept nogil:
    cdef int64_t rtt = sense_rtt_ns(info)
    if rtt == 0:
        return
    s.srtt_ns += (rtt - s.srtt_ns) // SIGNALS_SRTT_SHARE if s.srtt_ns else rtt
    signals_srtt(signals, rtt)
    signals_min_rtt(signals, info.min_rtt_us * SENSE_NS_PER_US)


cdef inline void sense_estimate(
    Sense* s, const EstimatorRules* rules, Signals* signals, const tcpinfo* info,
    uint32_t retrans, bint limited, int64_t now_ns
) noexcept nogil:
    cdef int64_t before = s.estimate_bps
    if not estimator_sample(
            &s.estimator, rules, <int64_t>(info.bytes_acked - s.acked_bytes),
            sense_rtt_ns(info), s.srtt_ns, retrans, limited, now_ns):
        return
    s.estimate_bps = estimator_bps(&s.estimator)
    signals_add(&signals.estimate_bps, s.estimate_bps - before)


cdef inline void sense_take(
    Sense* s, const EstimatorRules* rules, Signals* signals, const tcpinfo* info,
    bint limited, int64_t now_ns
) noexcept nogil:
    """``limited``: tokens or the application held the transfer since the last time."""
    cdef uint32_t retrans = info.total_retrans - s.retrans
    sense_rtt(s, signals, info)
    sense_estimate(
        s, rules, signals, info, retrans, limited or info.app_limited & 1, now_ns)
    signals_add(&signals.segments, info.data_segs_out - s.segments)
    signals_add(&signals.retrans, retrans)
    signals_add(&signals.marked, info.delivered_ce - s.marked)
    signals_add(&signals.acked_bytes, <int64_t>(info.bytes_acked - s.acked_bytes))
    signals.mss_bytes = info.snd_mss
    signals.ecn = info.options & TCPINFO_ECN != 0
    s.acked_bytes = info.bytes_acked
    s.segments = info.data_segs_out
    s.retrans = info.total_retrans
    s.marked = info.delivered_ce
