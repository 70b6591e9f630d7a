"""Transfer: one response on its way: how far it is, and what it may send next.

The gate, the planner and the transmitters see transfers only; whether the bytes answer
an HTTP/1.1 request or a stream is the connection's business. Thousands wait for tokens
at once, and each is looked at for every quantum: so it has two cache lines, the gate
reads the first one only, and what the response consists of is elsewhere (``Message``).
"""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t

from c_socket cimport msghdr
from charge cimport Charge, charge_none
from filecache cimport File, file_unref
from image cimport Image, image_unref
from limits cimport GATHER_MAX, INLINE_MOVE_BYTES
from message cimport Message, Span, message_gather


cdef enum TransferState:
    TRANSFER_READY     # nothing in flight; transmit may go on
    TRANSFER_PARKED    # waits for tokens
    TRANSFER_SENDING   # a SEND or SENDMSG is in flight
    TRANSFER_FILLING   # a SPLICE file -> pipe is in flight
    TRANSFER_POLLING   # waits until the socket takes more
    TRANSFER_QUEUED    # waits for a pipe

cdef enum:
    BRIEF_END_BYTES = 16384

cdef struct Transfer:
    Transfer* next         # in the gate's or the pipes' queue
    void* conn             # whose socket it is (conn.pxd)
    Message* message       # its own, as long as it lives
    int64_t total_bytes    # of all spans
    int64_t moved_bytes    # written to the socket
    int64_t granted_bytes  # charged, not yet moved
    uint32_t client        # row in the client table
    int16_t pipe           # index in the pool while a fill is in flight, or -1
    Charge charge          # whose buckets the granted bytes were charged to
    uint8_t state
    uint8_t strategy       # of the spans in the file (strategy.pxd)
    uint8_t span           # the current one
    uint8_t spans_n
    uint16_t status
    uint8_t close_after    # the connection ends with it
    uint8_t corked         # TCP_CORK is set on the socket (sockmode.pxd)
    # The second line.
    File* file             # held while spans point into it
    Image* image           # likewise
    int64_t span_done      # bytes of the current span that were moved
    int64_t window_bytes   # what an inline splice tries to move at once
    int64_t hot_until      # offset up to which the file is in the page cache
    int64_t hot_ns         # when that was asked
    int64_t ahead_until    # offset up to which a disk was asked to read ahead
    int64_t started_ns     # the request was complete; 0: the first byte went out


cdef inline void transfer_reset(Transfer* t, Message* message) noexcept nogil:
    t.next = NULL
    t.conn = NULL
    t.message = message
    t.file = NULL
    t.image = NULL
    t.total_bytes = t.moved_bytes = t.granted_bytes = t.span_done = 0
    t.window_bytes = INLINE_MOVE_BYTES
    t.hot_until = t.hot_ns = t.ahead_until = t.started_ns = 0
    t.client = t.span = t.spans_n = 0
    t.status = 0
    t.state = TRANSFER_READY
    t.close_after = t.corked = False
    t.strategy = 0
    t.charge = charge_none()
    t.pipe = -1


cdef inline void transfer_add(
    Transfer* t, const char* at, int64_t offset, int64_t n
) noexcept nogil:
    """Append a span; an empty one is left out. Planners stay below SPANS_MAX."""
    cdef Span* s
    if n == 0:
        return
    s = &t.message.spans[t.spans_n]
    s.at = at
    s.offset = offset
    s.n = n
    t.spans_n += 1
    t.total_bytes += n


cdef inline int64_t transfer_left(const Transfer* t) noexcept nogil:
    return t.total_bytes - t.moved_bytes


cdef inline void transfer_advance(Transfer* t, int64_t n) noexcept nogil:
    """``n`` bytes went to the socket, from the current span on."""
    cdef int64_t left
    t.moved_bytes += n
    while n > 0:
        left = t.message.spans[t.span].n - t.span_done
        if n < left:
            t.span_done += n
            return
        n -= left
        t.span += 1
        t.span_done = 0
        t.hot_until = t.ahead_until = 0  # the next may lie anywhere in the file


cdef inline Span* transfer_span(const Transfer* t) noexcept nogil:
    """The current one."""
    return &t.message.spans[t.span]


cdef inline msghdr* transfer_gather(Transfer* t, int64_t most) noexcept nogil:
    """Up to ``most`` bytes of the memory spans that come next."""
    return message_gather(t.message, t.span, t.spans_n, t.span_done, most)


cdef inline bint transfer_is_brief_end(const Transfer* t) noexcept nogil:
    """All that is left is a little memory, and the connection ends with it."""
    cdef uint32_t i
    if not t.close_after or transfer_left(t) > BRIEF_END_BYTES:
        return False
    if t.spans_n - t.span > GATHER_MAX:
        return False
    for i in range(t.span, t.spans_n):
        if t.message.spans[i].at == NULL:
            return False
    return True


cdef inline void transfer_drop_sources(Transfer* t) noexcept nogil:
    if t.image != NULL:
        image_unref(t.image)
        t.image = NULL
    if t.file != NULL:
        file_unref(t.file)
        t.file = NULL
