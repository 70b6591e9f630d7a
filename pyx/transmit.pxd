"""Transmit: the next step of a transfer, once the gate let it pass.

Spans in memory go out by SEND or, gathered, by SENDMSG. Spans in a file go file -> pipe
-> socket: inline where the pages are in the page cache, and by a SPLICE on io-wq, into
a pipe of the pool, where they must come from a disk. The socket's end of a splice is
always inline and never blocks; what the socket does not take is dropped from the pipe
(only page references) and spliced again later, so that a slow reader holds no pipe.
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS
from libc.stdint cimport int64_t, uint8_t, uint32_t

from c_file cimport SPLICE_F_MOVE
from c_socket cimport (
    MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, POLLOUT, send, sendmsg,
)
from c_uring cimport *
from clients cimport LIMITER_DISK, LIMITER_PEER, Client
from closing cimport conn_close, conn_receive, conn_release, transfer_end
from conn cimport CONN_CLOSING, DEADLINE_WRITE, Conn, conn_ends
from counters cimport counters_first_byte
from engine cimport (
    OP_POLL, OP_SEND, OP_SPLICE, Engine, conn_set_deadline, conn_userdata,
    engine_run_first, engine_run_soon,
)
from finish cimport conn_response_done
from gate cimport gate_pass
from grant cimport grant_client, grant_return, grant_settle, grant_trim
from limits cimport INLINE_MOVE_BYTES, LINGER_BYTES_MAX
from message cimport Span
from move cimport Moved, move_copy, move_drain, move_sendfile, move_splice
from pagecache cimport pagecache_has, pagecache_read_ahead
from piece cimport piece_most
from pipes cimport (
    Pipe, pipe_ready, pipes_discard, pipes_give, pipes_next_waiting, pipes_take,
    pipes_wait,
)
from ring cimport ring_counted_sqe
from sockmode cimport sockmode_cork
from socketlimit cimport socketlimit_follow, socketlimit_lift
from strategy cimport STRATEGY_COPY, STRATEGY_SENDFILE, strategy_of_piece
from transfer cimport (
    TRANSFER_FILLING, TRANSFER_POLLING, TRANSFER_QUEUED, TRANSFER_READY,
    TRANSFER_SENDING, Transfer, transfer_advance, transfer_gather,
    transfer_is_brief_end, transfer_left, transfer_span,
)
from zerocopy cimport (
    ZeroCopy, zerocopy_begin, zerocopy_end, zerocopy_is_refused, zerocopy_userdata,
    zerocopy_wanted,
)

cdef extern from *:
    """
    /* A socket that took less than asked is next offered about what it took. */
    #define WINDOW_MIN_BYTES INT64_C(65536)
    /* The first piece from a disk is short: the client sees its first byte sooner. */
    #define COLD_FIRST_BYTES INT64_C(131072)
    """
    const int64_t WINDOW_MIN_BYTES
    const int64_t COLD_FIRST_BYTES


cdef inline void transmit_account(
    Engine* e, Conn* c, Transfer* t, int64_t moved
) noexcept nogil:
    grant_settle(e, t, moved)
    transfer_advance(t, moved)
    if t.started_ns:
        counters_first_byte(&e.counters, e.now_ns - t.started_ns)
        t.started_ns = 0
    conn_set_deadline(e, c, DEADLINE_WRITE, e.limits.write_timeout_ns)


cdef inline io_uring_sqe* transmit_sqe(
    Engine* e, Conn* c, Transfer* t, uint32_t state
) noexcept nogil:
    t.state = state
    c.in_flight += 1
    return ring_counted_sqe(&e.ring)


cdef inline void transmit_waits(
    Engine* e, const Transfer* t, uint8_t what
) noexcept nogil:
    """Remember for those who ask why the client is slow."""
    cdef Client* client = grant_client(e, t)
    if client.waits_for != what:
        client.waits_for = what


cdef inline void transmit_poll(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """Wait until the socket takes more; tokens do not wait with it."""
    cdef io_uring_sqe* sqe
    grant_return(e, t)
    transmit_waits(e, t, LIMITER_PEER)
    socketlimit_lift(e, c, t)
    sqe = transmit_sqe(e, c, t, TRANSFER_POLLING)
    io_uring_prep_poll_add(sqe, c.fd, POLLOUT)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_POLL))


cdef inline void transmit_memory(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """One SEND or SENDMSG of the granted part of the memory spans that come next."""
    cdef Span* s = transfer_span(t)
    cdef int64_t n = s.n - t.span_done
    cdef int flags = MSG_NOSIGNAL
    cdef bint last = t.span + 1 == t.spans_n
    cdef ZeroCopy* z = NULL
    cdef io_uring_sqe* sqe = transmit_sqe(e, c, t, TRANSFER_SENDING)
    if last or n >= t.granted_bytes:
        if n > t.granted_bytes:
            n = t.granted_bytes
        if zerocopy_wanted(e, t, n):
            z = zerocopy_begin(e, c, t)
        if z != NULL:
            io_uring_prep_send_zc(sqe, c.fd, s.at + t.span_done, <size_t>n, flags, 0)
            io_uring_sqe_set_data64(sqe, zerocopy_userdata(z))
            return
        io_uring_prep_send(sqe, c.fd, s.at + t.span_done, <size_t>n, flags)
    else:
        io_uring_prep_sendmsg(sqe, c.fd, transfer_gather(t, t.granted_bytes), flags)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_SEND))


cdef inline void transmit_watch(Engine* e, Conn* c) noexcept nogil:
    """The end of the connection was thought to be near, and is not: let a RECV notice
    a peer that leaves meanwhile."""
    if conn_ends(c) and c.linger_bytes <= LINGER_BYTES_MAX:
        conn_receive(e, c)


cdef inline bint transmit_granted(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """There are tokens for what comes next; else the transfer waits for them."""
    if t.granted_bytes or gate_pass(e, t):
        return True
    sockmode_cork(c, t, False)
    socketlimit_follow(e, c, t)
    transmit_watch(e, c)
    if t.ahead_until:  # what it had so far came from a disk
        pagecache_read_ahead(e, t, transfer_span(t).offset + t.span_done)
    return False


cdef inline void transmit_settle(
    Engine* e, Conn* c, Transfer* t, Moved m
) noexcept nogil:
    """What follows an attempt to move a piece of a file."""
    if m.n:
        transmit_account(e, c, t, m.n)
    if m.error and m.error not in (-EAGAIN, -EINTR):
        # Truncated under us, or unreadable, or the peer is gone: the length was
        # promised, and only an end of the connection can take that back.
        conn_close(e, c)
    elif transfer_left(t) == 0:
        conn_response_done(e, c)
    elif m.error == -EAGAIN:
        t.window_bytes = max(WINDOW_MIN_BYTES, m.n)
        transmit_poll(e, c, t)
    else:
        t.window_bytes = min(INLINE_MOVE_BYTES, 2 * t.window_bytes)
        # Asked now, while all that the gate looks at is at hand: after thousands of
        # others had their turn, it would have to come from memory again.
        if transmit_granted(e, c, t):
            engine_run_soon(e, c)


cdef inline void transmit_hot(
    Engine* e, Conn* c, Transfer* t, int64_t n
) noexcept nogil:
    cdef int64_t offset = transfer_span(t).offset + t.span_done
    cdef Moved m
    if strategy_of_piece(e.limits.transmit, t.strategy, n) == STRATEGY_SENDFILE:
        m = move_sendfile(t.file.fd, offset, c.fd, n)
    else:
        m = move_splice(&e.pipes, t.file.fd, offset, c.fd, n, t.granted_bytes > n)
    e.counters.bytes_spliced += m.n
    transmit_settle(e, c, t, m)


cdef inline void transmit_cold(
    Engine* e, Conn* c, Transfer* t, int64_t n
) noexcept nogil:
    cdef Span* s = transfer_span(t)
    cdef io_uring_sqe* sqe
    transmit_waits(e, t, LIMITER_DISK)
    t.pipe = pipes_take(&e.pipes)
    if t.pipe < 0:
        grant_return(e, t)
        t.state = TRANSFER_QUEUED
        pipes_wait(&e.pipes, t)
        return
    if not pipe_ready(&e.pipes.items[t.pipe]):
        pipes_give(&e.pipes, t.pipe)
        t.pipe = -1
        conn_close(e, c)
        return
    n = min(n, e.pipes.items[t.pipe].bytes)
    if not t.ahead_until:
        n = min(n, COLD_FIRST_BYTES)
    e.counters.reads_cold += 1
    sqe = transmit_sqe(e, c, t, TRANSFER_FILLING)
    io_uring_prep_splice(
        sqe, t.file.fd, s.offset + t.span_done, e.pipes.items[t.pipe].writer, -1,
        <unsigned int>n, SPLICE_F_MOVE)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_SPLICE))
    t.ahead_until = s.offset + t.span_done + n


cdef inline void transmit_copy(
    Engine* e, Conn* c, Transfer* t, int64_t offset, int64_t n
) noexcept nogil:
    cdef Moved m = move_copy(
        e.copy_buffer, t.file.fd, offset, c.fd, n, t.granted_bytes > n)
    if m.error == -ENOBUFS:
        transmit_cold(e, c, t, n)
    else:
        transmit_settle(e, c, t, m)


cdef inline void transmit_file(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    cdef Span* s = transfer_span(t)
    cdef int64_t offset = s.offset + t.span_done
    cdef int64_t most = piece_most(e, c, t, offset)
    cdef int64_t n = min(most, min(t.granted_bytes, s.n - t.span_done))
    if t.granted_bytes - n < most // 4 and n == most:
        grant_trim(e, t, n)  # a scrap of a grant is not worth a piece of its own
    if t.strategy == STRATEGY_COPY:
        transmit_copy(e, c, t, offset, n)
    elif pagecache_has(e, t, offset, n):
        if n == most:
            sockmode_cork(c, t, True)
        transmit_hot(e, c, t, n)
    else:
        sockmode_cork(c, t, False)
        transmit_cold(e, c, t, n)


cdef inline bint transmit_head(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """A file follows the current memory under the same grant: send the memory at once,
    and let the kernel hold it until the file's first bytes come. True when all of it
    went."""
    cdef Span* s = transfer_span(t)
    cdef int64_t n = s.n - t.span_done
    cdef ssize_t sent = send(
        c.fd, s.at + t.span_done, <size_t>n, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE)
    if sent > 0:
        transmit_account(e, c, t, sent)
    return sent == n


cdef inline bint transmit_end(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """The whole rest at once, held back by the kernel until the FIN that follows: both
    leave in one segment, which is a tenth of a short connection's work. True when all
    of it went."""
    cdef ssize_t sent
    sent = sendmsg(
        c.fd, transfer_gather(t, t.granted_bytes),
        MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE)
    if sent > 0:
        transmit_account(e, c, t, sent)
    if sent <= 0 or transfer_left(t):
        return False
    conn_response_done(e, c)
    return True


cdef inline bint transmit_file_follows(const Transfer* t) noexcept nogil:
    """The current span is memory, and the grant reaches into the file behind it."""
    return (
        t.span + 1 < t.spans_n and t.message.spans[t.span + 1].at == NULL
        and t.granted_bytes > transfer_span(t).n - t.span_done)


cdef inline void transmit_more(Engine* e, Conn* c) noexcept nogil:
    """Take the transfer's next step; it is ready and not complete."""
    cdef Transfer* t = c.transfer
    if not transmit_granted(e, c, t):
        return
    if transfer_is_brief_end(t) and t.granted_bytes >= transfer_left(t):
        if transmit_end(e, c, t):
            return
        transmit_watch(e, c)
    if transfer_span(t).at != NULL and transmit_file_follows(t):
        transmit_head(e, c, t)
    if transfer_span(t).at == NULL:
        transmit_file(e, c, t)
    else:
        sockmode_cork(c, t, False)
        transmit_memory(e, c, t)


cdef inline bint transmit_back(Engine* e, Conn* c) noexcept nogil:
    """A completion came back; false when the connection is only waiting to close."""
    c.in_flight -= 1
    e.ring.in_flight -= 1
    if c.state != CONN_CLOSING:
        c.transfer.state = TRANSFER_READY
        return True
    return False


cdef inline void on_send(Engine* e, Conn* c, int res) noexcept nogil:
    cdef Transfer* t = c.transfer
    if not transmit_back(e, c):
        if res > 0:
            grant_settle(e, t, res)  # sent and paid for, whoever has gone since
        conn_release(e, c)
        return
    if res < 0 and res != -EAGAIN and res != -EINTR:
        conn_close(e, c)
        return
    if res > 0:
        transmit_account(e, c, t, res)
        if transfer_left(t) == 0:
            conn_response_done(e, c)
            return
    if transfer_span(t).at == NULL:
        engine_run_soon(e, c)
    else:
        transmit_more(e, c)


cdef inline void on_send_zc(
    Engine* e, Conn* c, ZeroCopy* z, int res, uint32_t flags
) noexcept nogil:
    """The result; without a notification to come it is the end of ``z``."""
    if not flags & IORING_CQE_F_MORE:
        zerocopy_end(e, z)
    if zerocopy_is_refused(e, res):
        res = -EAGAIN
    on_send(e, c, res)


cdef inline void on_poll(Engine* e, Conn* c, int res) noexcept nogil:
    if not transmit_back(e, c):
        conn_release(e, c)
    elif res < 0:
        conn_close(e, c)
    else:
        engine_run_soon(e, c)


cdef inline void transmit_pipe_back(Engine* e, int pipe) noexcept nogil:
    """``pipe`` is empty: return it, and let the next transfer that waits try."""
    cdef Transfer* next
    pipes_give(&e.pipes, pipe)
    next = pipes_next_waiting(&e.pipes)
    if next != NULL:  # before the one that had the pipe, or it would take it again
        next.state = TRANSFER_READY
        engine_run_first(e, <Conn*>next.conn)


cdef inline void transmit_call_waiting(Engine* e) noexcept nogil:
    """Once a loop: while a pipe is free, call the next that waits for one.

    Whoever was called when a pipe came back may have left it free: its bytes were in
    the page cache by then, its tokens were gone, or its client.
    """
    cdef Transfer* next
    if e.pipes.free < 0:
        return
    next = pipes_next_waiting(&e.pipes)
    if next != NULL:
        next.state = TRANSFER_READY
        engine_run_soon(e, <Conn*>next.conn)


cdef inline void transmit_drain(
    Engine* e, Conn* c, Transfer* t, Pipe* pipe, int64_t n
) noexcept nogil:
    """``n`` bytes of the current span are in ``pipe``: offer them, drop the rest."""
    cdef Moved m = move_drain(pipe, c.fd, n, t.granted_bytes > n)
    pipes_discard(&e.pipes, pipe, n - m.n)
    e.counters.bytes_spliced += m.n
    transmit_settle(e, c, t, m)


cdef inline void on_splice(Engine* e, Conn* c, int res) noexcept nogil:
    cdef Transfer* t = c.transfer
    cdef int pipe = t.pipe
    cdef bint alive = transmit_back(e, c)
    t.pipe = -1
    if not alive:
        pipes_discard(&e.pipes, &e.pipes.items[pipe], res)
        conn_release(e, c)
    elif res == -EAGAIN or res == -EINTR:
        engine_run_soon(e, c)
    elif res <= 0:
        conn_close(e, c)
    else:
        transmit_drain(e, c, t, &e.pipes.items[pipe], res)
    transmit_pipe_back(e, pipe)
