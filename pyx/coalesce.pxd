"""Coalesce: how many completions one wait should wait for, and how long.

A loop that wakes for every completion spends much of its time on waking. Under load it
waits for as many as lately came at once; a wait that was in vain halves the number, so
that an engine with little to do answers at once.

How long it may wait depends on how busy its core is. A core with time to spare spends
it on answering sooner; one that is nearly used up saves its time, and then requests
queue for longer than the wait anyway.
"""

from libc.stdint cimport int64_t, uint32_t


cdef enum:
    COALESCE_MOST = 64
    COALESCE_WAIT_LEAST_NS = 10000
    COALESCE_WAIT_MOST_NS = 100000
    # How often the use of the core is looked at: a system call each time.
    COALESCE_MEASURE_NS = 2000000
    # Thousandths of the core; between the two the wait grows evenly.
    COALESCE_SPARE = 550
    COALESCE_BUSY = 700

cdef struct Coalesce:
    uint32_t want          # completions to wait for, at least 1
    int64_t wait_ns        # and how long at most
    int64_t measured_ns    # when the use of the core was last looked at
    int64_t cpu_ns         # the thread's CPU time by then


cdef inline void coalesce_init(
    Coalesce* c, int64_t now_ns, int64_t cpu_ns
) noexcept nogil:
    c.want = 1
    c.wait_ns = COALESCE_WAIT_LEAST_NS
    c.measured_ns = now_ns
    c.cpu_ns = cpu_ns


cdef inline void coalesce_learn(Coalesce* c, uint32_t reaped) noexcept nogil:
    """``reaped`` completions were there after the wait."""
    if reaped < c.want:
        c.want = max(1, c.want // 2)
    elif reaped > c.want and c.want < COALESCE_MOST:
        c.want += 1


cdef inline bint coalesce_due(const Coalesce* c, int64_t now_ns) noexcept nogil:
    """Whether ``coalesce_measure`` should be called with the thread's CPU time."""
    return now_ns - c.measured_ns >= COALESCE_MEASURE_NS


cdef inline void coalesce_measure(
    Coalesce* c, int64_t now_ns, int64_t cpu_ns
) noexcept nogil:
    cdef int64_t used = (
        1000 * (cpu_ns - c.cpu_ns) // max(now_ns - c.measured_ns, 1))
    cdef int64_t above = min(max(used, COALESCE_SPARE), COALESCE_BUSY) - COALESCE_SPARE
    c.wait_ns = COALESCE_WAIT_LEAST_NS + (
        (COALESCE_WAIT_MOST_NS - COALESCE_WAIT_LEAST_NS) * above
        // (COALESCE_BUSY - COALESCE_SPARE))
    c.measured_ns = now_ns
    c.cpu_ns = cpu_ns


cdef inline int64_t coalesce_wait_ns(const Coalesce* c, int64_t wait_ns) noexcept nogil:
    if c.want > 1 and wait_ns > c.wait_ns:
        return c.wait_ns
    return wait_ns
