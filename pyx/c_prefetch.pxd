"""Asking memory for a cache line before it is needed; any address will do."""


cdef extern from * nogil:
    """
    /* GCC takes a function that only prefetches for one without effect and drops the
       call: the empty asm is an effect. */
    static inline __attribute__((always_inline)) void prefetch_line(const void *at) {
        __builtin_prefetch(at, 1);
        __asm__ volatile("" : : "r"(at));
    }
    """
    void prefetch_line(const void* at)
