"""Transmit: the next step of a transfer, once the gate let it pass.

Spans in memory go out by SEND or, gathered, by SENDMSG. Spans in a file go file -> pipe
-> socket: inline where the pages are in the page cache, and by a SPLICE on io-wq, into
a pipe of the pool, where they must come from a disk. The socket's end of a splice is
always inline and never blocks; what the socket does not take is dropped from the pipe
(only page references) and spliced again later, so that a slow reader holds no pipe.
"""

from libc.errno cimport EAGAIN, EINTR, EPIPE, errno
from libc.stdint cimport int64_t, uint32_t

from c_file cimport SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, splice
from c_socket cimport MSG_MORE, MSG_NOSIGNAL
from c_uring cimport *
from closing cimport conn_close, conn_release, transfer_end
from conn cimport CONN_CLOSING, DEADLINE_WRITE, Conn
from counters cimport counters_first_byte
from engine cimport (
    OP_POLL, OP_SEND, OP_SPLICE, Engine, conn_set_deadline, conn_userdata,
    engine_run_first, engine_run_soon,
)
from finish cimport conn_response_done
from gate cimport gate_pass, gate_return, gate_settle, gate_trim
from limits cimport INLINE_SPLICE_BYTES
from pipes cimport (
    Pipe, pipe_ready, pipes_discard, pipes_give, pipes_next_waiting, pipes_take,
    pipes_wait,
)
from residency cimport PAGE_BYTES, residency_hot
from ring cimport ring_counted_sqe
from sockmode cimport sockmode_cork, sockmode_plain, sockmode_splice
from transfer cimport (
    TRANSFER_FILLING, TRANSFER_POLLING, TRANSFER_QUEUED, TRANSFER_READY,
    TRANSFER_SENDING, Span, Transfer, transfer_advance, transfer_gather, transfer_left,
)

cdef extern from "<poll.h>" nogil:
    enum:
        POLLOUT

cdef extern from *:
    """
    /* A socket that took less than asked is next offered about what it took. */
    #define SPLICE_WINDOW_MIN_BYTES INT64_C(65536)
    /* How far ahead residency is asked for: a stale answer costs one blocked loop. */
    #define HOT_WINDOW_BYTES INT64_C(4194304)
    /* And how long the answer is believed: a parked transfer comes back later. */
    #define HOT_BELIEVED_NS INT64_C(100000000)
    """
    const int64_t SPLICE_WINDOW_MIN_BYTES
    const int64_t HOT_WINDOW_BYTES
    const int64_t HOT_BELIEVED_NS


cdef inline void transmit_account(
    Engine* e, Conn* c, Transfer* t, int64_t moved
) noexcept nogil:
    gate_settle(e, t, moved)
    transfer_advance(t, moved)
    if not t.first_byte_seen:
        t.first_byte_seen = True
        counters_first_byte(&e.counters, e.now_ns - t.started_ns)
    conn_set_deadline(e, c, DEADLINE_WRITE, e.limits.write_timeout_ns)


cdef inline io_uring_sqe* transmit_sqe(
    Engine* e, Conn* c, Transfer* t, uint32_t state
) noexcept nogil:
    t.state = state
    c.in_flight += 1
    return ring_counted_sqe(&e.ring)


cdef inline void transmit_poll(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """Wait until the socket takes more; tokens do not wait with it."""
    cdef io_uring_sqe* sqe
    gate_return(e, t)
    sqe = transmit_sqe(e, c, t, TRANSFER_POLLING)
    io_uring_prep_poll_add(sqe, c.fd, POLLOUT)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_POLL))


cdef inline void transmit_memory(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """One SEND or SENDMSG of the granted part of the memory spans that come next."""
    cdef Span* s = &t.spans[t.span]
    cdef int64_t n = s.n - t.span_done
    cdef int flags = MSG_NOSIGNAL
    cdef bint last = t.span + 1 == t.spans_n
    cdef io_uring_sqe* sqe = transmit_sqe(e, c, t, TRANSFER_SENDING)
    if last or n >= t.granted_bytes:
        if n > t.granted_bytes:
            n = t.granted_bytes
        io_uring_prep_send(sqe, c.fd, s.at + t.span_done, <size_t>n, flags)
    elif t.spans[t.span + 1].at == NULL:
        # A file follows at once, under the same grant: let the head wait for it.
        io_uring_prep_send(sqe, c.fd, s.at + t.span_done, <size_t>n, flags | MSG_MORE)
    else:
        transfer_gather(t, t.granted_bytes)
        io_uring_prep_sendmsg(sqe, c.fd, &t.message, flags)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_SEND))


cdef inline int64_t splice_out(
    int pipe, int fd, int64_t n, bint more, int* error
) noexcept nogil:
    """Pipe to socket until ``n`` are moved; returns how many were. ``error``: 0, or the
    -errno that stopped it, -EAGAIN when the socket is full."""
    cdef unsigned int flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK
    cdef int64_t moved = 0
    cdef ssize_t rc
    if more:
        flags |= SPLICE_F_MORE
    error[0] = 0
    while moved < n and error[0] == 0:
        rc = splice(pipe, NULL, fd, NULL, <size_t>(n - moved), flags)
        if rc > 0:
            moved += rc
        elif rc == 0:
            error[0] = -EPIPE
        elif errno != EINTR:
            error[0] = -errno
    return moved


cdef inline void transmit_drain_pipe(
    Engine* e, Conn* c, Transfer* t, Pipe* pipe, int64_t n
) noexcept nogil:
    """``n`` bytes of the current span are in ``pipe``: offer them, drop the rest."""
    cdef int error
    cdef int64_t moved = splice_out(
        pipe.reader, c.fd, n, t.granted_bytes > n, &error)
    pipes_discard(&e.pipes, pipe, n - moved)
    if moved:
        e.counters.bytes_spliced += moved
        transmit_account(e, c, t, moved)
    if error and error != -EAGAIN:
        conn_close(e, c)
    elif transfer_left(t) == 0:
        conn_response_done(e, c)
    elif error:
        t.window_bytes = max(SPLICE_WINDOW_MIN_BYTES, moved)
        transmit_poll(e, c, t)
    else:
        t.window_bytes = min(INLINE_SPLICE_BYTES, 2 * t.window_bytes)
        engine_run_soon(e, c)


cdef inline void transmit_hot(
    Engine* e, Conn* c, Transfer* t, int64_t n
) noexcept nogil:
    cdef Span* s = &t.spans[t.span]
    cdef int64_t offset = s.offset + t.span_done
    cdef Pipe* pipe = &e.pipes.scratch
    cdef ssize_t filled
    if not pipe_ready(pipe):
        conn_close(e, c)
        return
    filled = splice(
        t.file.fd, &offset, pipe.writer, NULL, <size_t>n,
        SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
    if filled <= 0 and (filled == 0 or errno not in (EAGAIN, EINTR)):
        conn_close(e, c)  # truncated under us, or unreadable: the length was promised
        return
    if filled < 0:
        engine_run_soon(e, c)
        return
    transmit_drain_pipe(e, c, t, pipe, filled)


cdef inline void transmit_cold(
    Engine* e, Conn* c, Transfer* t, int64_t n
) noexcept nogil:
    cdef Span* s = &t.spans[t.span]
    cdef io_uring_sqe* sqe
    t.pipe = pipes_take(&e.pipes)
    if t.pipe < 0:
        gate_return(e, t)
        t.state = TRANSFER_QUEUED
        pipes_wait(&e.pipes, t)
        return
    if not pipe_ready(&e.pipes.items[t.pipe]):
        pipes_give(&e.pipes, t.pipe)
        t.pipe = -1
        conn_close(e, c)
        return
    n = min(n, e.pipes.items[t.pipe].bytes)
    sqe = transmit_sqe(e, c, t, TRANSFER_FILLING)
    io_uring_prep_splice(
        sqe, t.file.fd, s.offset + t.span_done, e.pipes.items[t.pipe].writer, -1,
        <unsigned int>n, SPLICE_F_MOVE)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_SPLICE))


cdef inline bint transmit_is_hot(
    const Engine* e, Transfer* t, int64_t offset, int64_t n
) noexcept nogil:
    """Asks for a longer stretch than the next piece, so as to ask seldom."""
    cdef int64_t ahead
    if offset + n <= t.hot_until and e.now_ns - t.hot_ns < HOT_BELIEVED_NS:
        return True
    ahead = min(HOT_WINDOW_BYTES, t.file.size - offset)
    if ahead > n and residency_hot(t.file.fd, offset, ahead):
        t.hot_until = offset + ahead
        t.hot_ns = e.now_ns
        return True
    return residency_hot(t.file.fd, offset, n)


cdef inline void transmit_file(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    cdef Span* s = &t.spans[t.span]
    cdef int64_t offset = s.offset + t.span_done
    # A pipe carries whole pages: where the range begins inside one, the last would be
    # left over, and every later piece would be cut in two.
    cdef int64_t most = min(
        t.window_bytes, e.pipes.scratch.bytes - (offset & (PAGE_BYTES - 1)))
    cdef int64_t n = min(most, min(t.granted_bytes, s.n - t.span_done))
    if t.granted_bytes - n < most // 4 and n == most:
        gate_trim(e, t, n)  # a scrap of a grant is not worth a splice of its own
    sockmode_splice(c, t)
    if transmit_is_hot(e, t, offset, n):
        if n == most:
            sockmode_cork(c, t, True)
        transmit_hot(e, c, t, n)
    else:
        sockmode_cork(c, t, False)
        transmit_cold(e, c, t, n)


cdef inline void transmit_more(Engine* e, Conn* c) noexcept nogil:
    """Take the transfer's next step; it is ready and not complete."""
    cdef Transfer* t = c.transfer
    if t.granted_bytes == 0 and not gate_pass(e, t):
        sockmode_cork(c, t, False)
        return
    if t.spans[t.span].at == NULL:
        transmit_file(e, c, t)
    else:
        sockmode_plain(c, t)
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
            gate_settle(e, t, res)  # sent and paid for, whoever has gone since
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
    if t.spans[t.span].at == NULL:
        engine_run_soon(e, c)
    else:
        transmit_more(e, c)


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
        transmit_drain_pipe(e, c, t, &e.pipes.items[pipe], res)
    transmit_pipe_back(e, pipe)
