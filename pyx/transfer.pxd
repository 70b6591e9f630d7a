"""Transfer: one response on its way, as a list of spans.

The gate, the planner and the transmitters see transfers only; whether the bytes answer
an HTTP/1.1 request or a stream is the connection's business.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from c_socket cimport iovec, msghdr
from filecache cimport File, file_unref
from image cimport Image, image_unref
from limits cimport (
    GATHER_MAX, INLINE_MOVE_BYTES, SPANS_MAX, TRANSFER_TEXT_BYTES,
)


cdef enum TransferState:
    TRANSFER_READY     # nothing in flight; transmit may go on
    TRANSFER_PARKED    # waits for tokens
    TRANSFER_SENDING   # a SEND or SENDMSG is in flight
    TRANSFER_FILLING   # a SPLICE file -> pipe is in flight
    TRANSFER_POLLING   # waits until the socket takes more
    TRANSFER_QUEUED    # waits for a pipe

cdef enum:
    BRIEF_END_BYTES = 16384

cdef struct Span:
    const char* at     # bytes in memory, or NULL: in the file
    int64_t offset     # in the file
    int64_t n

cdef struct Transfer:
    Transfer* next         # in the gate's or the pipes' queue
    void* conn             # whose socket it is (conn.pxd)
    File* file             # held while spans point into it
    Image* image           # likewise
    int64_t total_bytes    # of all spans
    int64_t moved_bytes    # written to the socket
    int64_t granted_bytes  # charged, not yet moved
    int64_t span_done      # bytes of the current span that were moved
    int64_t window_bytes   # what an inline splice tries to move at once
    int64_t hot_until      # offset up to which the file is in the page cache
    int64_t hot_ns         # when that was asked
    int64_t ahead_until    # offset up to which a disk was asked to read ahead
    int64_t started_ns     # the request was complete
    uint32_t client        # row in the client table
    uint32_t span          # the current one
    uint32_t spans_n
    uint16_t status
    uint8_t state
    bint first_byte_seen
    bint close_after       # the connection ends with it
    uint8_t strategy       # of the spans in the file (strategy.pxd)
    bint corked            # TCP_CORK is set on the socket (sockmode.pxd)
    int pipe               # index in the pool while a fill is in flight, or -1
    msghdr message
    iovec gather[GATHER_MAX]
    Span spans[SPANS_MAX]
    char text[TRANSFER_TEXT_BYTES]   # heads of the response and of its parts


cdef inline void transfer_reset(Transfer* t) noexcept nogil:
    t.next = NULL
    t.conn = NULL
    t.file = NULL
    t.image = NULL
    t.total_bytes = t.moved_bytes = t.granted_bytes = t.span_done = 0
    t.window_bytes = INLINE_MOVE_BYTES
    t.hot_until = t.hot_ns = t.ahead_until = t.started_ns = 0
    t.client = t.span = t.spans_n = 0
    t.status = 0
    t.state = TRANSFER_READY
    t.first_byte_seen = t.close_after = False
    t.corked = False
    t.strategy = 0
    t.pipe = -1


cdef inline void transfer_add(
    Transfer* t, const char* at, int64_t offset, int64_t n
) noexcept nogil:
    """Append a span; an empty one is left out. Planners stay below SPANS_MAX."""
    cdef Span* s
    if n == 0:
        return
    s = &t.spans[t.spans_n]
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
        left = t.spans[t.span].n - t.span_done
        if n < left:
            t.span_done += n
            return
        n -= left
        t.span += 1
        t.span_done = 0
        t.hot_until = t.ahead_until = 0  # the next may lie anywhere in the file


cdef inline void transfer_gather(Transfer* t, int64_t most) noexcept nogil:
    """Fill ``message`` with up to ``most`` bytes of the memory spans that come next."""
    cdef uint32_t i = t.span
    cdef int64_t done = t.span_done
    cdef int64_t n
    cdef size_t used = 0
    while i < t.spans_n and t.spans[i].at != NULL and most > 0 and used < GATHER_MAX:
        n = t.spans[i].n - done
        if n > most:
            n = most
        t.gather[used].iov_base = <void*>(t.spans[i].at + done)
        t.gather[used].iov_len = <size_t>n
        used += 1
        most -= n
        done = 0
        i += 1
    t.message.msg_name = NULL
    t.message.msg_namelen = 0
    t.message.msg_iov = t.gather
    t.message.msg_iovlen = used
    t.message.msg_control = NULL
    t.message.msg_controllen = 0
    t.message.msg_flags = 0


cdef inline bint transfer_is_brief_end(const Transfer* t) noexcept nogil:
    """All that is left is a little memory, and the connection ends with it."""
    cdef uint32_t i
    if not t.close_after or transfer_left(t) > BRIEF_END_BYTES:
        return False
    if t.spans_n - t.span > GATHER_MAX:
        return False
    for i in range(t.span, t.spans_n):
        if t.spans[i].at == NULL:
            return False
    return True


cdef inline void transfer_drop_sources(Transfer* t) noexcept nogil:
    if t.image != NULL:
        image_unref(t.image)
        t.image = NULL
    if t.file != NULL:
        file_unref(t.file)
        t.file = NULL
