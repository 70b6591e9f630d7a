"""Clocks in nanoseconds."""

from libc.stdint cimport int64_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <time.h>

    static inline int64_t clock_now_ns(clockid_t clock) {
        struct timespec t;
        clock_gettime(clock, &t);
        return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
    }
    #define clock_monotonic_ns() clock_now_ns(CLOCK_MONOTONIC)
    #define clock_thread_cpu_ns() clock_now_ns(CLOCK_THREAD_CPUTIME_ID)
    #define clock_wall_s() (clock_now_ns(CLOCK_REALTIME_COARSE) / 1000000000)
    #define TIME_NEVER INT64_MAX
    #define NS_PER_S INT64_C(1000000000)
    #define NS_PER_MS INT64_C(1000000)
    """
    int64_t clock_monotonic_ns() nogil
    int64_t clock_thread_cpu_ns() nogil   # a system call
    int64_t clock_wall_s() nogil
    const int64_t TIME_NEVER
    const int64_t NS_PER_S
    const int64_t NS_PER_MS
