"""Line: the clients that wait, on one engine, for tokens of a node above them.

The server and every group have one. Clients take turns, a quantum each; how much each
may have in the long run is decided by their own buckets, whose rates the control pass
sets (``tree``). One timer wakes the line.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from gatequeue cimport GateQueue
from wheel cimport Timer


cdef struct Line:
    Timer timer
    GateQueue* first     # oldest first
    GateQueue* last
    uint32_t waiting     # clients
    uint32_t turn        # the bucket's count of turns when this engine had its last
    uint8_t counted      # among the engines that wait for the bucket


cdef inline void line_push(Line* l, uint32_t row, GateQueue* q) noexcept nogil:
    """``row`` is the node's, and remembered in ``q``."""
    q.in_line = row + 1
    q.line_next = NULL
    if l.first == NULL:
        l.first = q
    else:
        l.last.line_next = q
    l.last = q
    l.waiting += 1


cdef inline GateQueue* line_pop(Line* l) noexcept nogil:
    """The first of a line that is not empty."""
    cdef GateQueue* q = l.first
    l.first = q.line_next
    q.line_next = NULL
    q.in_line = 0
    l.waiting -= 1
    return q


cdef inline void line_remove(Line* l, GateQueue* q) noexcept nogil:
    """Only a client that changes its group pays this walk."""
    cdef GateQueue* previous = NULL
    cdef GateQueue* at = l.first
    while at != NULL and at != q:
        previous = at
        at = at.line_next
    if at == NULL:
        return
    if previous == NULL:
        line_pop(l)
        return
    previous.line_next = q.line_next
    if l.last == q:
        l.last = previous
    q.line_next = NULL
    q.in_line = 0
    l.waiting -= 1
