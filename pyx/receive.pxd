"""Receive: completions of multishot RECV."""

from libc.errno cimport ENOBUFS
from libc.stdint cimport int64_t, uint16_t, uint32_t

from c_errno cimport ECANCELED
from c_uring cimport IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE
from closing cimport (
    conn_close, conn_keep_input, conn_pause_receive, conn_receive, conn_release,
)
from conn cimport (
    CONN_CLOSING, CONN_LINGERING, CONN_OPEN, Conn, conn_busy, conn_ends,
    conn_pending, conn_should_pause,
)
from engine cimport Engine, engine_run_soon
from lingering cimport linger_discard
from recvbufs cimport recvbufs_at, recvbufs_grow, recvbufs_return
from requests cimport conn_feed
from transfer cimport transfer_is_brief_end


cdef inline void receive_keep(
    Engine* e, Conn* c, const char* data, size_t n
) noexcept nogil:
    """Input for a later request: keep it, and stop receiving at the bound."""
    if n == 0:
        return
    if not conn_keep_input(e, c, data, n):
        conn_close(e, c)
    elif conn_should_pause(c):
        conn_pause_receive(e, c)


cdef inline void receive_bytes(
    Engine* e, Conn* c, const char* data, size_t n
) noexcept nogil:
    cdef size_t used
    c.in_flight += 1  # conn_close inside must not recycle the slot
    while n and c.state == CONN_OPEN and not conn_busy(c) and not conn_pending(c):
        used = conn_feed(e, c, data, n)
        data += used
        n -= used
    if c.state == CONN_LINGERING or conn_ends(c):
        linger_discard(e, c, n)
    elif c.state == CONN_OPEN:
        receive_keep(e, c, data, n)
    c.in_flight -= 1


cdef inline void receive_end(Engine* e, Conn* c) noexcept nogil:
    """The peer's FIN. A response under way is finished first: half-close is allowed."""
    c.peer_closed = True
    if c.state == CONN_LINGERING or (not conn_busy(c) and not conn_pending(c)):
        conn_close(e, c)


cdef inline void receive_starved(Engine* e, Conn* c) noexcept nogil:
    """No buffer was left in this batch; ``receive_feed_starved`` tries again."""
    if e.starved == NULL:
        recvbufs_grow(&e.recvbufs)  # once a batch
    c.starved = True
    c.next_starved = e.starved
    e.starved = c


cdef inline void receive_feed_starved(Engine* e) noexcept nogil:
    """The batch's buffers are back with the kernel."""
    cdef Conn* c = e.starved
    cdef Conn* next
    e.starved = NULL
    while c != NULL:
        next = c.next_starved
        c.starved = False
        if c.state == CONN_CLOSING:
            conn_release(e, c)
        elif not conn_busy(c):  # a busy one receives again when it is done
            conn_receive(e, c)
        c = next


cdef inline void receive_stopped(Engine* e, Conn* c, int res) noexcept nogil:
    """The multishot RECV ended with something else than data."""
    if c.state == CONN_CLOSING:
        conn_release(e, c)
    elif res == -ENOBUFS:
        receive_starved(e, c)
    elif res == 0:
        receive_end(e, c)
    elif res != -ECANCELED:
        conn_close(e, c)
    elif c.state == CONN_LINGERING or not (conn_busy(c) or conn_pending(c)):
        conn_receive(e, c)


cdef inline void receive_again(Engine* e, Conn* c) noexcept nogil:
    """All that came was handled, and no RECV is armed: go on, and notice a peer that
    leaves. Not for a response that ends the connection and may well be complete at
    once: see ``transmit_more``."""
    if c.state == CONN_CLOSING:
        conn_release(e, c)
        return
    if c.intake != NULL or (
            c.transfer != NULL and transfer_is_brief_end(c.transfer)):
        return
    if not conn_should_pause(c):
        conn_receive(e, c)


cdef inline void on_recv(Engine* e, Conn* c, int res, uint32_t flags) noexcept nogil:
    cdef uint16_t bid = <uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT)
    cdef bint ended = not flags & IORING_CQE_F_MORE
    if ended:
        c.receiving = c.pausing = False
        c.in_flight -= 1
        e.ring.in_flight -= 1
    if flags & IORING_CQE_F_BUFFER:
        if res > 0 and c.state != CONN_CLOSING:
            receive_bytes(e, c, recvbufs_at(&e.recvbufs, bid), <size_t>res)
        recvbufs_return(&e.recvbufs, bid)
    if res <= 0:
        receive_stopped(e, c, res)
    elif ended:
        receive_again(e, c)
    elif c.state == CONN_CLOSING:
        conn_release(e, c)
    if ended and c.intake != NULL and c.state == CONN_OPEN:
        engine_run_soon(e, c)  # it waited for that
