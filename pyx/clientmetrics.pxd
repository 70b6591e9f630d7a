"""Client metrics: the numbers of a row that Prometheus is told, by name.

All are doubles, as in Prometheus, and not negative. Of several clients they add up: a
limit that there is not is infinite, and so is a sum with it.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t

from clients cimport Client
from feed cimport FeedTerms
from holders cimport holders_transfers
from window cimport window_mean_bps


cdef enum:
    # ClientMetric; in the order of CLIENT_METRIC_NAMES.
    METRIC_TARGET_BPS
    METRIC_EFFECTIVE_BPS
    METRIC_WEIGHT
    METRIC_BYTES_TOTAL
    METRIC_MEAN_BPS
    METRIC_REQUESTS_TOTAL
    METRIC_TRANSFERS
    METRIC_PARKED
    METRIC_ADAPTIVE_BPS
    METRIC_CONTROLLER_BPS
    METRIC_BREAKER_BPS
    METRICS_COUNT

cdef extern from *:
    """
    static const char *const CLIENT_METRIC_NAMES[] = {
        "target_bps", "effective_bps", "weight", "bytes_total", "mean_bps",
        "requests_total", "transfers", "parked", "adaptive_bps", "controller_bps",
        "breaker_bps"};
    """
    const char* CLIENT_METRIC_NAMES[]


cdef inline double metric_limit(int64_t rate_bps) noexcept nogil:
    return <double>rate_bps if rate_bps else INFINITY


cdef inline double client_metric(
    const Client* c, const FeedTerms* terms, int metric, int64_t now_ns
) noexcept nogil:
    """Of copies, which nobody changes meanwhile."""
    if metric == METRIC_TARGET_BPS:
        return metric_limit(c.allowed.rate_bps)
    if metric == METRIC_EFFECTIVE_BPS:
        return metric_limit(c.bucket.rate_bps)
    if metric == METRIC_WEIGHT:
        return c.allowed.weight
    if metric == METRIC_BYTES_TOTAL:
        return <double>c.bytes_total
    if metric == METRIC_MEAN_BPS:
        return <double>window_mean_bps(&c.window, now_ns)
    if metric == METRIC_REQUESTS_TOTAL:
        return <double>c.requests_total
    if metric == METRIC_TRANSFERS:
        return <double>holders_transfers(&c.holders)
    if metric == METRIC_ADAPTIVE_BPS:
        return metric_limit(terms.target_bps)
    if metric == METRIC_CONTROLLER_BPS:
        return metric_limit(terms.controller_bps)
    if metric == METRIC_BREAKER_BPS:
        return metric_limit(terms.breaker_bps)
    return c.parked
