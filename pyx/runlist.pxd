"""RunList: connections that are to be advanced, each on one list at most.

An array, and not a chain through the connections: so it can be seen who comes soon,
without waiting for the memory of those in between.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t

from c_assert cimport ENGINE_ASSERT
from conn cimport Conn
from mapping cimport mapping_free, mapping_new, power_of_two


cdef struct RunList:
    Conn** items        # a ring
    uint32_t first
    uint32_t n
    uint32_t mask       # capacity - 1, which is a power of two


cdef inline int runlist_init(RunList* l, uint32_t most) noexcept nogil:
    """For up to ``most`` connections; -ENOMEM."""
    cdef uint32_t capacity = power_of_two(most)
    l.first = l.n = 0
    l.mask = capacity - 1
    l.items = <Conn**>mapping_new(sizeof(Conn*) * capacity)
    return 0 if l.items != NULL else -ENOMEM


cdef inline void runlist_free(RunList* l) noexcept nogil:
    mapping_free(l.items, sizeof(Conn*) * (<size_t>l.mask + 1))
    l.items = NULL


cdef inline Conn* runlist_at(const RunList* l, uint32_t i) noexcept nogil:
    """Who comes after ``i`` others; ``i`` is below ``n``."""
    return l.items[(l.first + i) & l.mask]


cdef inline void runlist_push(RunList* l, Conn* c) noexcept nogil:
    """At the end; one that is on a list already stays where it is."""
    if c.runnable:
        return
    ENGINE_ASSERT(l.n <= l.mask)
    c.runnable = True
    l.items[(l.first + l.n) & l.mask] = c
    l.n += 1


cdef inline void runlist_push_front(RunList* l, Conn* c) noexcept nogil:
    if c.runnable:
        return
    ENGINE_ASSERT(l.n <= l.mask)
    c.runnable = True
    l.first = (l.first - 1) & l.mask
    l.items[l.first] = c
    l.n += 1


cdef inline Conn* runlist_pop(RunList* l) noexcept nogil:
    """The first, or NULL."""
    cdef Conn* c
    if l.n == 0:
        return NULL
    c = runlist_at(l, 0)
    c.runnable = False
    l.n -= 1
    # Empty lists begin at the same place again, so that few pages are touched.
    l.first = (l.first + 1) & l.mask if l.n else 0
    return c
