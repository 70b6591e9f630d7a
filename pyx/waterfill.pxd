"""Waterfill: divide a capacity among those who want it, by weight.

Weighted max-min fairness with a floor and a bound each: share = clamp(level x weight,
least, most), with the one level at which the shares add up to the capacity (Bertsekas
and Gallager, Data Networks, section 6.5.2; the freezing of whoever is out of bounds is
that of flexible boxes, CSS Flexbox section 9.7). Pure: no clock, no rows.
"""

from libc.math cimport INFINITY
from libc.stdint cimport uint32_t


cdef enum:
    # Each round settles all who are on the same side of their bounds; real trees need
    # fewer than ten. Who is left after so many has its part of the last level.
    WATERFILL_ROUNDS_MAX = 64

cdef struct Share:
    double weight     # > 0
    double least      # guaranteed, 0 <= least <= most
    double most       # it takes no more; may be INFINITY
    double got        # the answer
    bint settled
    void* of          # whose it is


cdef inline double share_clamp(const Share* s, double x) noexcept nogil:
    return min(max(x, s.least), s.most)


cdef inline double waterfill_scale_floors(
    Share* shares, uint32_t n, double capacity
) noexcept nogil:
    """More is guaranteed than there is (a rate was lowered, a cap came): everybody's
    floor shrinks in proportion. Returns their sum."""
    cdef double sum_least = 0
    cdef uint32_t i
    for i in range(n):
        sum_least += shares[i].least
    if sum_least <= capacity:
        return sum_least
    for i in range(n):
        shares[i].least *= capacity / sum_least
    return capacity


cdef inline bint waterfill_fits(
    Share* shares, uint32_t n, double capacity
) noexcept nogil:
    """Give everybody all they want, if there is so much."""
    cdef double sum_most = 0
    cdef uint32_t i
    for i in range(n):
        sum_most += shares[i].most
        shares[i].got = shares[i].most
        shares[i].settled = False
    return sum_most <= capacity


cdef inline double waterfill_level(
    const Share* shares, uint32_t n, double capacity
) noexcept nogil:
    """At which the unsettled, without their bounds, would use up what is left."""
    cdef double left = capacity, weights = 0
    cdef uint32_t i
    for i in range(n):
        if shares[i].settled:
            left -= shares[i].got
        else:
            weights += shares[i].weight
    return max(left, 0.0) / weights if weights > 0 else -1.0


cdef inline bint waterfill_settle(
    Share* shares, uint32_t n, double level
) noexcept nogil:
    """Settle those who are out of bounds, on the side that matters more. False when
    nobody is: ``got`` is the answer."""
    cdef double excess = 0
    cdef bint any_out = False
    cdef Share* s
    cdef uint32_t i
    for i in range(n):
        s = &shares[i]
        if not s.settled:
            s.got = share_clamp(s, level * s.weight)
            excess += s.got - level * s.weight
            any_out = any_out or s.got != level * s.weight
    if not any_out:
        return False
    for i in range(n):
        s = &shares[i]
        if s.settled or s.got == level * s.weight:
            continue
        s.settled = excess == 0 or (excess > 0) == (s.got > level * s.weight)
    return True


cdef inline double waterfill(Share* shares, uint32_t n, double capacity) noexcept nogil:
    """Fill in ``got``; returns the level in bytes per second and weight, or INFINITY
    when everybody has all they want."""
    cdef double level = 0, next_level
    cdef int _round
    if waterfill_fits(shares, n, capacity):
        return INFINITY
    waterfill_scale_floors(shares, n, capacity)
    for _round in range(WATERFILL_ROUNDS_MAX):
        next_level = waterfill_level(shares, n, capacity)
        if next_level < 0:
            break
        level = next_level
        if not waterfill_settle(shares, n, level):
            break
    return level
