"""Coalesce: how many completions one wait should wait for.

A loop that wakes for every completion spends much of its time on waking. Under load it
waits for as many as lately came at once, but never longer than COALESCE_WAIT_NS, which
is below what a client can notice; a wait that was in vain halves the number, so that an
engine with little to do answers at once.
"""

from libc.stdint cimport int64_t, uint32_t


cdef enum:
    COALESCE_WAIT_NS = 100000
    COALESCE_MOST = 64

cdef struct Coalesce:
    uint32_t want     # completions to wait for, at least 1


cdef inline void coalesce_init(Coalesce* c) noexcept nogil:
    c.want = 1


cdef inline void coalesce_learn(Coalesce* c, uint32_t reaped) noexcept nogil:
    """``reaped`` completions were there after the wait."""
    if reaped < c.want:
        c.want = max(1, c.want // 2)
    elif reaped > c.want and c.want < COALESCE_MOST:
        c.want += 1


cdef inline int64_t coalesce_wait_ns(const Coalesce* c, int64_t wait_ns) noexcept nogil:
    if c.want > 1 and wait_ns > COALESCE_WAIT_NS:
        return COALESCE_WAIT_NS
    return wait_ns
