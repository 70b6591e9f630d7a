"""Ranking: the best of many, whatever order they come in.

A heap that keeps at most ``most`` of them, with the least on top: whoever comes later
is compared with that one only. Each that is kept has a place, a number below ``most``,
where the caller puts what it knows of it. Whoever is pushed out leaves his place to
whoever pushed him. Pure: no clock, no rows.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t

from mapping cimport mapping_free, mapping_new


cdef struct Ranked:
    int64_t value
    uint64_t precedence   # among equal values; each of its own
    uint32_t place

cdef struct Ranking:
    Ranked* heap
    uint32_t n            # kept now
    uint32_t most


cdef inline int ranking_init(Ranking* r, uint32_t most) noexcept nogil:
    """-ENOMEM. ``most`` may be 0: then nobody is kept."""
    r.n = 0
    r.most = most
    r.heap = NULL
    if most == 0:
        return 0
    r.heap = <Ranked*>mapping_new(sizeof(Ranked) * most)
    return 0 if r.heap != NULL else -ENOMEM


cdef inline void ranking_free(Ranking* r) noexcept nogil:
    mapping_free(r.heap, sizeof(Ranked) * r.most)
    r.heap = NULL


cdef inline bint ranked_below(const Ranked* one, const Ranked* other) noexcept nogil:
    if one.value != other.value:
        return one.value < other.value
    return one.precedence < other.precedence


cdef inline bint ranking_is_full(const Ranking* r) noexcept nogil:
    return r.n == r.most


cdef inline bint ranking_admits(
    const Ranking* r, int64_t value, uint64_t precedence
) noexcept nogil:
    """Whether ``ranking_put`` may be called with it."""
    cdef Ranked new
    if r.n < r.most:
        return True
    new.value, new.precedence = value, precedence
    return r.most > 0 and ranked_below(&r.heap[0], &new)


cdef inline uint32_t ranking_next_place(const Ranking* r) noexcept nogil:
    """Of whoever is put next. In a full ranking somebody has it who will be out."""
    return r.heap[0].place if ranking_is_full(r) else r.n


cdef inline void ranking_swap(Ranking* r, uint32_t a, uint32_t b) noexcept nogil:
    cdef Ranked held = r.heap[a]
    r.heap[a] = r.heap[b]
    r.heap[b] = held


cdef inline void ranking_rise(Ranking* r, uint32_t at) noexcept nogil:
    """Towards the top, past all that are better."""
    cdef uint32_t above
    while at > 0:
        above = (at - 1) // 2
        if not ranked_below(&r.heap[at], &r.heap[above]):
            return
        ranking_swap(r, at, above)
        at = above


cdef inline void ranking_sink(Ranking* r, uint32_t at) noexcept nogil:
    """Away from the top, below all that are less."""
    cdef uint32_t least, side
    while True:
        least = at
        for side in range(2 * at + 1, min(2 * at + 3, r.n)):
            if ranked_below(&r.heap[side], &r.heap[least]):
                least = side
        if least == at:
            return
        ranking_swap(r, at, least)
        at = least


cdef inline void ranking_put(
    Ranking* r, int64_t value, uint64_t precedence
) noexcept nogil:
    """Keep one that is admitted, at ``ranking_next_place``."""
    cdef uint32_t at = 0
    cdef uint32_t place = ranking_next_place(r)
    if not ranking_is_full(r):
        at = r.n
        r.n += 1
    r.heap[at].value, r.heap[at].precedence = value, precedence
    r.heap[at].place = place
    if at:
        ranking_rise(r, at)
    else:
        ranking_sink(r, 0)
