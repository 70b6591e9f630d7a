"""RunList: connections that are to be advanced, each on one list at most."""

from libc.stdint cimport uint32_t

from conn cimport Conn


cdef struct RunList:
    Conn* first
    Conn* last
    uint32_t n


cdef inline void runlist_push(RunList* l, Conn* c) noexcept nogil:
    """At the end; one that is on a list already stays where it is."""
    if c.runnable:
        return
    c.runnable = True
    c.next = NULL
    if l.first == NULL:
        l.first = c
    else:
        l.last.next = c
    l.last = c
    l.n += 1


cdef inline void runlist_push_front(RunList* l, Conn* c) noexcept nogil:
    if c.runnable or l.first == NULL:
        runlist_push(l, c)
        return
    c.runnable = True
    c.next = l.first
    l.first = c
    l.n += 1


cdef inline Conn* runlist_pop(RunList* l) noexcept nogil:
    """The first, or NULL."""
    cdef Conn* c = l.first
    if c != NULL:
        l.first = c.next
        c.next = NULL
        c.runnable = False
        l.n -= 1
    return c
