"""GateQueue: the transfers of one client that wait for tokens, on one engine.

Two lists: those that have sent nothing yet and those that have. They take turns, so a
small answer is not stuck behind bulk, and bulk is not starved by small answers.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from transfer cimport Transfer
from wheel cimport Timer


cdef struct TransferList:
    Transfer* first
    Transfer* last

cdef enum:
    GATEQUEUE_UNUSED_BYTES = 30   # so that every queue begins with a cache line

cdef struct GateQueue:
    Timer timer             # when the bucket will have paid its debt
    TransferList fresh
    TransferList bulk
    # The second line, which turns with others need.
    GateQueue* line_next    # in the line for the tokens of a node above
    int64_t early_vt_ns     # when what begins may run on debt again (gate.pxd)
    uint32_t row            # of the client table
    uint32_t waiting
    uint32_t turn           # the bucket's count of turns when this queue had its last
    uint32_t in_line        # 1 + the row of the node whose line it is in; 0: none
    uint8_t counted         # among the bucket's queues
    uint8_t bulk_next       # whose turn it is
    uint8_t unused[GATEQUEUE_UNUSED_BYTES]


cdef inline void list_push(TransferList* queue, Transfer* t) noexcept nogil:
    t.next = NULL
    if queue.first == NULL:
        queue.first = t
    else:
        queue.last.next = t
    queue.last = t


cdef inline void list_push_front(TransferList* queue, Transfer* t) noexcept nogil:
    t.next = queue.first
    if queue.first == NULL:
        queue.last = t
    queue.first = t


cdef inline Transfer* list_pop(TransferList* queue) noexcept nogil:
    cdef Transfer* t = queue.first
    queue.first = t.next
    t.next = NULL
    return t


cdef inline bint list_remove(TransferList* queue, Transfer* t) noexcept nogil:
    """Only a connection that ends while parked pays this walk."""
    cdef Transfer* previous = NULL
    cdef Transfer* at = queue.first
    while at != NULL and at != t:
        previous = at
        at = at.next
    if at == NULL:
        return False
    if previous == NULL:
        queue.first = t.next
    else:
        previous.next = t.next
    if queue.last == t:
        queue.last = previous
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
    cdef TransferList* queue = &q.bulk if q.bulk_next else &q.fresh
    if queue.first == NULL:
        queue = &q.fresh if q.bulk_next else &q.bulk
    if queue.first == NULL:
        return NULL
    q.bulk_next = queue == &q.fresh
    q.waiting -= 1
    return list_pop(queue)


cdef inline void gatequeue_push_back_front(GateQueue* q, Transfer* t) noexcept nogil:
    """Undo a pop: the bucket said no."""
    list_push_front(gatequeue_list(q, t), t)
    q.bulk_next = t.moved_bytes > 0
    q.waiting += 1


cdef inline void gatequeue_remove(GateQueue* q, Transfer* t) noexcept nogil:
    if list_remove(gatequeue_list(q, t), t):
        q.waiting -= 1
