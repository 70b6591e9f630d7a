"""Holders: who uses a row that may be given to somebody else.

One word counts connections (upper half) and transfers (lower half). It is negative
while the row is claimed, which is possible only when nobody holds it. Whoever finds it
so lets go at once and looks the key up again.
"""

from libc.stdint cimport int64_t

from c_atomic cimport atomic_cas_i64, atomic_count_i64, atomic_load_i64


cdef extern from *:
    """
    #define HOLD_TRANSFER INT64_C(1)
    #define HOLD_CONNECTION (INT64_C(1) << 32)
    /* Adding it again takes it away: the sum wraps, as atomic sums may. */
    #define HOLDERS_CLAIMED INT64_MIN
    """
    const int64_t HOLD_TRANSFER
    const int64_t HOLD_CONNECTION
    const int64_t HOLDERS_CLAIMED

cdef struct Holders:
    int64_t word


cdef inline void holders_leave(Holders* h, int64_t unit) noexcept nogil:
    """``unit`` is HOLD_TRANSFER or HOLD_CONNECTION, as it was taken."""
    atomic_count_i64(&h.word, -unit)


cdef inline bint holders_join(Holders* h, int64_t unit) noexcept nogil:
    """False, and not joined, while the row is claimed."""
    if atomic_count_i64(&h.word, unit) >= 0:
        return True
    holders_leave(h, unit)
    return False


cdef inline bint holders_claim(Holders* h) noexcept nogil:
    """Keep everybody away from a row that nobody holds; false if somebody does."""
    cdef int64_t nobody = 0
    return atomic_cas_i64(&h.word, &nobody, HOLDERS_CLAIMED)


cdef inline void holders_admit(Holders* h) noexcept nogil:
    """End a claim."""
    atomic_count_i64(&h.word, HOLDERS_CLAIMED)


cdef inline bint holders_is_idle(const Holders* h) noexcept nogil:
    return atomic_load_i64(&h.word) == 0


cdef inline int64_t holders_connections(const Holders* h) noexcept nogil:
    cdef int64_t word = atomic_load_i64(&h.word)
    return word // HOLD_CONNECTION if word > 0 else 0


cdef inline int64_t holders_transfers(const Holders* h) noexcept nogil:
    cdef int64_t word = atomic_load_i64(&h.word)
    return word % HOLD_CONNECTION if word > 0 else 0
