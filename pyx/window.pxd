"""Window: the bytes of each of the last ten seconds, their mean and their jitter.

Ten complete seconds and the one that runs. A slot holds its second's stamp and bytes in
one word, so that engines add without a lock, and who comes first in a new second takes
the slot over from the one eleven seconds before; nobody has to turn the window. The
stamp tells what an idle client sent long ago from now, for as long as six days.
"""

from libc.math cimport sqrt
from libc.stdint cimport int64_t

from c_atomic cimport atomic_cas_i64, atomic_load_i64
from c_time cimport NS_PER_S


cdef enum:
    WINDOW_SECONDS = 10
    WINDOW_SLOTS = WINDOW_SECONDS + 1
    WINDOW_STEADY_SECONDS = WINDOW_SECONDS - 2   # without the first and the last
    WINDOW_STAMP_BITS = 19   # with the bytes below the sign

cdef extern from *:
    """
    #define WINDOW_BYTES_BITS 44   /* 17 TB in a second */
    #define WINDOW_BYTES_MAX ((INT64_C(1) << WINDOW_BYTES_BITS) - 1)
    """
    const int WINDOW_BYTES_BITS
    const int64_t WINDOW_BYTES_MAX

cdef struct Window:
    int64_t slots[WINDOW_SLOTS]   # atomic: stamp << WINDOW_BYTES_BITS | bytes


cdef inline int64_t window_stamp(int64_t second) noexcept nogil:
    return second & ((<int64_t>1 << WINDOW_STAMP_BITS) - 1)


cdef inline int64_t* window_slot(Window* w, int64_t now_ns) noexcept nogil:
    """Where ``window_add`` counts: to ask memory for it in time."""
    return &w.slots[now_ns // NS_PER_S % WINDOW_SLOTS]


cdef inline void window_add(Window* w, int64_t n_bytes, int64_t now_ns) noexcept nogil:
    """Count ``n_bytes`` >= 0 for the second of ``now_ns``; from any thread."""
    cdef int64_t second = now_ns // NS_PER_S
    cdef int64_t* slot = &w.slots[second % WINDOW_SLOTS]
    cdef int64_t stamp = window_stamp(second)
    cdef int64_t before = atomic_load_i64(slot)
    cdef int64_t n
    while True:
        n = n_bytes
        if before >> WINDOW_BYTES_BITS == stamp:
            n += before & WINDOW_BYTES_MAX
        n = min(n, WINDOW_BYTES_MAX)
        if atomic_cas_i64(slot, &before, stamp << WINDOW_BYTES_BITS | n):
            return


cdef inline int64_t window_second_bytes(
    const Window* w, int64_t second
) noexcept nogil:
    """Bytes of one of the last ``WINDOW_SLOTS`` seconds; 0 where there were none."""
    cdef int64_t word
    if second < 0:
        return 0
    word = atomic_load_i64(&w.slots[second % WINDOW_SLOTS])
    if word >> WINDOW_BYTES_BITS != window_stamp(second):
        return 0
    return word & WINDOW_BYTES_MAX


cdef inline int64_t window_mean_bps(const Window* w, int64_t now_ns) noexcept nogil:
    """Bytes per second over the last ten complete seconds, silent ones included."""
    cdef int64_t second = now_ns // NS_PER_S
    cdef int64_t total = 0
    cdef int64_t ago
    for ago in range(1, WINDOW_SECONDS + 1):
        total += window_second_bytes(w, second - ago)
    return total // WINDOW_SECONDS


cdef inline double window_jitter(const Window* w, int64_t now_ns) noexcept nogil:
    """How uneven the steady seconds are: standard deviation of their bytes ÷ mean.

    Steady are the eight within the last ten complete seconds, of a client that was
    sent something in each of the ten: in the first and the last of them it may have
    begun or ended, so those are parts of seconds. Negative: it was silent in one.
    """
    cdef int64_t second = now_ns // NS_PER_S
    cdef int64_t bytes_of[WINDOW_SECONDS]
    cdef double mean = 0
    cdef double variance = 0
    cdef int i
    for i in range(WINDOW_SECONDS):
        bytes_of[i] = window_second_bytes(w, second - 1 - i)
        if bytes_of[i] == 0:
            return -1
    for i in range(1, WINDOW_STEADY_SECONDS + 1):
        mean += bytes_of[i]
    mean /= WINDOW_STEADY_SECONDS
    for i in range(1, WINDOW_STEADY_SECONDS + 1):
        variance += (bytes_of[i] - mean) * (bytes_of[i] - mean)
    return sqrt(variance / WINDOW_STEADY_SECONDS) / mean
