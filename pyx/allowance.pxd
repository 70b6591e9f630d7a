"""Allowance: what one node of the tree (the server, a group, a client) is allowed.

Only configuration changes it. ``rate`` is the node's own limit, ``ceil`` how far it may
go beyond while its parent has something to spare, ``min`` what it has in any case,
``weight`` its share of what is left, ``burst`` what its bucket holds, ``peak`` how fast
that may leave.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from bucket cimport (
    BUCKET_DEPTH_MAX_MS, BUCKET_DEPTH_MS, BUCKET_PEAK_PERMILLE, Bucket,
    bucket_set_burst,
)


cdef enum:
    ALLOWANCE_WEIGHT = 100
    ALLOWANCE_DEPTH_LEAST_MS = 10
    # A client that is short of its parent's tokens does not save up: else it would come
    # back with twice its share for seconds, at the cost of those who stayed. Nor does a
    # node: what an uplink did not carry is gone.
    ALLOWANCE_SHARED_DEPTH_MS = 100
    ALLOWANCE_NODE_DEPTH_MS = 250

cdef struct Allowance:
    int64_t rate_bps      # 0: no limit of its own
    int64_t ceil_bps      # 0: as rate_bps
    int64_t min_bps
    int64_t burst_bytes   # 0: two seconds of the rate
    int64_t peak_bps      # 0: 1.12 times the rate
    uint32_t depth_ms     # of its bucket while no burst_bytes is set
    uint16_t weight       # from 1
    uint8_t mode          # FeedMode: which controllers follow the client


cdef inline void allowance_init(Allowance* a, int64_t rate_bps) noexcept nogil:
    a.rate_bps = rate_bps
    a.ceil_bps = a.min_bps = a.burst_bytes = a.peak_bps = 0
    a.weight = ALLOWANCE_WEIGHT
    a.mode = 0  # FEED_OFF
    a.depth_ms = BUCKET_DEPTH_MS


cdef inline int64_t tighter_bps(int64_t one_bps, int64_t other_bps) noexcept nogil:
    """The lower of two limits of which 0 is none."""
    if one_bps == 0 or other_bps == 0:
        return one_bps + other_bps
    return min(one_bps, other_bps)


cdef inline int64_t allowance_limit_bps(
    const Allowance* a, int64_t cap_bps
) noexcept nogil:
    """Its own limit, which holds without asking the parent; 0: none."""
    return tighter_bps(a.rate_bps, cap_bps)


cdef inline int64_t allowance_ceil_bps(
    const Allowance* a, int64_t cap_bps
) noexcept nogil:
    """The limit with all that may be borrowed; 0: none."""
    if a.rate_bps == 0 or a.ceil_bps == 0:
        return allowance_limit_bps(a, cap_bps)
    return tighter_bps(a.ceil_bps, cap_bps)


cdef inline uint32_t allowance_depth_ms(const Allowance* a) noexcept nogil:
    cdef int64_t ms
    if a.burst_bytes == 0 or a.rate_bps == 0:
        return a.depth_ms
    ms = a.burst_bytes // max(a.rate_bps // 1000, 1)
    return <uint32_t>min(max(ms, ALLOWANCE_DEPTH_LEAST_MS), BUCKET_DEPTH_MAX_MS)


cdef inline uint32_t allowance_peak_permille(const Allowance* a) noexcept nogil:
    if a.peak_bps == 0 or a.rate_bps == 0:
        return BUCKET_PEAK_PERMILLE
    return <uint32_t>min(a.peak_bps * 1000 // a.rate_bps, <int64_t>1000000)


cdef inline void allowance_shape(const Allowance* a, Bucket* b) noexcept nogil:
    bucket_set_burst(b, allowance_depth_ms(a), allowance_peak_permille(a))
