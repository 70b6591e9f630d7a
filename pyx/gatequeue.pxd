"""GateQueue: the transfers of one client that wait for tokens, on one engine.

Two lists: those that have sent nothing yet and those that have. They take turns, so a
small answer is not stuck behind bulk, and bulk is not starved by small answers.
"""

from libc.stdint cimport uint32_t

from transfer cimport Transfer
from wheel cimport Timer


cdef struct TransferList:
    Transfer* first
    Transfer* last

cdef struct GateQueue:
    TransferList fresh
    TransferList bulk
    GateQueue* total_next   # in the engine's queue for the total rate
    Timer timer             # when the bucket will have paid its debt
    uint32_t row            # of the client table
    uint32_t waiting
    bint total_queued
    bint bulk_next          # whose turn it is


cdef inline void list_push(TransferList* l, Transfer* t) noexcept nogil:
    t.next = NULL
    if l.first == NULL:
        l.first = t
    else:
        l.last.next = t
    l.last = t


cdef inline void list_push_front(TransferList* l, Transfer* t) noexcept nogil:
    t.next = l.first
    if l.first == NULL:
        l.last = t
    l.first = t


cdef inline Transfer* list_pop(TransferList* l) noexcept nogil:
    cdef Transfer* t = l.first
    l.first = t.next
    t.next = NULL
    return t


cdef inline bint list_remove(TransferList* l, Transfer* t) noexcept nogil:
    """Only a connection that ends while parked pays this walk."""
    cdef Transfer* previous = NULL
    cdef Transfer* at = l.first
    while at != NULL and at != t:
        previous = at
        at = at.next
    if at == NULL:
        return False
    if previous == NULL:
        l.first = t.next
    else:
        previous.next = t.next
    if l.last == t:
        l.last = previous
    t.next = NULL
    return True


cdef inline TransferList* gatequeue_list(
    GateQueue* q, const Transfer* t
) noexcept nogil:
    return &q.bulk if t.moved_bytes else &q.fresh


cdef inline void gatequeue_push(GateQueue* q, Transfer* t) noexcept nogil:
    list_push(gatequeue_list(q, t), t)
    q.waiting += 1


cdef inline Transfer* gatequeue_pop(GateQueue* q) noexcept nogil:
    """The next in turn, or NULL."""
    cdef TransferList* l = &q.bulk if q.bulk_next else &q.fresh
    if l.first == NULL:
        l = &q.fresh if q.bulk_next else &q.bulk
    if l.first == NULL:
        return NULL
    q.bulk_next = l == &q.fresh
    q.waiting -= 1
    return list_pop(l)


cdef inline void gatequeue_push_back_front(GateQueue* q, Transfer* t) noexcept nogil:
    """Undo a pop: the bucket said no."""
    list_push_front(gatequeue_list(q, t), t)
    q.bulk_next = t.moved_bytes > 0
    q.waiting += 1


cdef inline void gatequeue_remove(GateQueue* q, Transfer* t) noexcept nogil:
    if list_remove(gatequeue_list(q, t), t):
        q.waiting -= 1
