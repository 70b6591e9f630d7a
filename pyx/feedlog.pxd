"""FeedLog: what controllers changed and why, for people and metrics.

A ring that the control pass fills and Python empties after each pass, in the same
thread. When more happens in a pass than it holds, the rest is counted only.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t


cdef enum:
    FEEDLOG_ENTRIES = 1024

cdef enum FeedKind:
    FEED_TARGET       # change: AdaptiveChange
    FEED_CONTROLLER   # DualLoopChange
    FEED_BREAKER      # BreakerChange

cdef struct FeedEntry:
    uint32_t row
    uint8_t kind           # FeedKind
    uint8_t change
    int64_t before_bps     # of the term that changed; 0: no limit
    int64_t after_bps
    int64_t mean_bps       # what the client was sent lately
    int64_t rate_bps       # R; 0: unlimited
    int64_t srtt_ns
    int64_t estimate_bps
    int64_t retrans        # segments since the term was last looked at
    int64_t marked         # likewise
    double loss            # of the last counted sample

cdef struct FeedLog:
    FeedEntry entries[FEEDLOG_ENTRIES]
    uint32_t n
    int64_t dropped_total


cdef inline FeedEntry* feedlog_new(FeedLog* log, uint32_t kind) noexcept nogil:
    """The next entry, to be filled in; NULL when there is no room. The controller's,
    which can be many, leave half of it to the others."""
    cdef uint32_t most = FEEDLOG_ENTRIES
    if kind == FEED_CONTROLLER:
        most = FEEDLOG_ENTRIES // 2
    if log.n >= most:
        log.dropped_total += 1
        return NULL
    log.n += 1
    return &log.entries[log.n - 1]
