"""Uploading: the body of a request, from its socket into a file that Python has opened.

An order says which file, from where on, and how much. What comes is collected in a
buffer and written in one piece when that is full or no more comes, so that many small
segments are no many small writes. Only one of both is in flight at a time: while a
write waits for a disk nothing is received, and the peer's window closes.

Bytes are in the file when Python hears of them, which says nothing of the disk.
"""

from libc.errno cimport EAGAIN, EBADMSG, EINTR, EINVAL, EIO, ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from c_errno cimport ECANCELED
from c_socket cimport MSG_DONTWAIT, MSG_NOSIGNAL, send
from c_time cimport NS_PER_S
from c_uring cimport *
from closing cimport (
    conn_close, conn_forget_input, conn_keep_input, conn_pause_receive, conn_release,
    intake_let_go,
)
from conn cimport (
    CONN_OPEN, DEADLINE_BODY, Conn, conn_pending,
)
from engine cimport (
    OP_BODY, OP_NONE, OP_WRITE, Engine, conn_set_deadline, conn_userdata,
)
from http1 cimport HTTP1_REFUSED, http1_feed
from intake cimport (
    ASK_DONE, INTAKE_ASKED, INTAKE_COMPLETE, INTAKE_CUT, INTAKE_ENOUGH, INTAKE_FAILED,
    INTAKE_GOES_ON, INTAKE_READY, INTAKE_RECEIVING, INTAKE_STOPPED, INTAKE_TIMEOUT,
    INTAKE_WRITING, Intake, intake_end, intake_hand_over, intake_make_buffer,
    intake_room, intake_took, intake_wrote,
)
from intakeblock cimport (
    intakeblock_give, intakeblock_is_due, intakeblock_piece, intakeblock_take,
    intakeblock_wanted,
)
from intakepipe cimport (
    intakepipe_give, intakepipe_receive, intakepipe_wanted, intakepipe_write,
    intakepipe_wrote,
)
from intakewait cimport (
    intakewait_has_input, intakewait_input, intakewait_is_fast, intakewait_is_step,
    intakewait_learn, intakewait_lowat, intakewait_poll,
)
from limits cimport INTAKE_BUFFER_BYTES, WRITE_COPY
from request cimport Request
from ring cimport ring_counted_sqe, ring_sqe
from userdata cimport userdata_pack


cdef enum:
    # Of a chunked body, what comes is decoded from the buffer's second half into the
    # first.
    UPLOADING_HALF_BYTES = INTAKE_BUFFER_BYTES // 2
    # Received in one go, so that others get their turn in between.
    UPLOADING_PIECE_BYTES = 524288


cdef inline void uploading_continue(Conn* c, Intake* i) noexcept nogil:
    """RFC 9110 section 10.1.1; not of one that sends its body unasked."""
    cdef const char* text = b"HTTP/1.1 100 Continue\r\n\r\n"
    if i.expects and conn_pending(c) == 0:
        # Void: a socket to which nothing was sent yet takes it, or is gone.
        send(c.fd, text, 25, MSG_DONTWAIT | MSG_NOSIGNAL)
    i.expects = False


cdef inline size_t uploading_decode(
    Conn* c, Intake* i, const char* data, size_t n
) noexcept nogil:
    """Chunks; no more than there is room for. Returns the bytes used."""
    cdef Request* r = c.request
    cdef size_t used
    r.sink = i.buffer + i.buffer_n
    r.sink_n = <uint32_t>n
    if http1_feed(&c.http, data, n, &used) == HTTP1_REFUSED:
        intake_end(i, INTAKE_FAILED, EBADMSG)
    intake_took(i, <int64_t>n - r.sink_n)
    if r.complete:
        i.body_left = 0
    return used


cdef inline uint32_t uploading_room(const Intake* i) noexcept nogil:
    cdef uint32_t n = intake_room(i)
    if not i.chunked:
        return n
    if i.buffer_n >= UPLOADING_HALF_BYTES:
        return 0
    return min(n, <uint32_t>UPLOADING_HALF_BYTES - i.buffer_n)


cdef inline void uploading_take_pending(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """What came together with the head."""
    cdef const char* data
    cdef size_t n = min(conn_pending(c), uploading_room(i))
    while n and i.body_left and not i.end:
        data = c.pending + c.pending_at
        if i.chunked:
            n = uploading_decode(c, i, data, n)
        else:
            memcpy(i.buffer + i.buffer_n, data, n)
            intake_took(i, <int64_t>n)
        c.pending_at += <uint32_t>n
        n = min(conn_pending(c), uploading_room(i))
    if c.pending != NULL and conn_pending(c) == 0:
        conn_forget_input(e, c)


cdef inline void uploading_judge(const Conn* c, Intake* i) noexcept nogil:
    """Does more come?"""
    if i.body_left == 0:
        intake_end(i, INTAKE_COMPLETE, 0)
    elif i.left <= i.buffer_n:  # less: what was in flight when it was stopped
        intake_end(i, INTAKE_STOPPED if i.stopping else INTAKE_ENOUGH, 0)
    elif i.stopping and (i.chunked or not intakewait_has_input(c)):
        intake_end(i, INTAKE_STOPPED, 0)
    elif i.late:
        intake_end(i, INTAKE_TIMEOUT, 0)
    elif c.peer_closed and conn_pending(c) == 0:
        intake_end(i, INTAKE_CUT, 0)


cdef inline int64_t uploading_patience_ns(
    const Engine* e, const Intake* i
) noexcept nogil:
    """Until what there is is taken, though it is less than was awaited, or the peer has
    brought nothing for too long."""
    cdef int64_t left = e.limits.body_timeout_ns - (e.now_ns - i.brought_ns)
    return min(left, <int64_t>NS_PER_S)


cdef inline void uploading_receive(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """However a POLL ended, what there is is taken before the next."""
    cdef bint fast = e.limits.write_path != WRITE_COPY and intakewait_is_fast(i)
    cdef int64_t here = intakewait_input(c) if fast else 0
    cdef bint polled = i.polls
    conn_set_deadline(e, c, DEADLINE_BODY, e.limits.body_timeout_ns)
    i.brought_ns = e.now_ns
    i.polls = False
    if i.drained:
        intakeblock_give(e, i)
    if i.block or not fast:
        uploading_copy(e, c, i)
    elif not polled and not intakewait_is_step(i, here):
        intakewait_poll(e, c, i)
        conn_set_deadline(e, c, DEADLINE_BODY, uploading_patience_ns(e, i))
    else:
        if not polled:  # it came while the last was written
            i.waits_since_ns = e.now_ns
        intakewait_learn(e, i, here)
        uploading_move(e, c, i, here)


cdef inline void uploading_move(
    Engine* e, Conn* c, Intake* i, int64_t here
) noexcept nogil:
    if intakeblock_wanted(e, i, here) and intakeblock_take(e, i):
        uploading_copy(e, c, i)
    elif not (
            intakepipe_wanted(e, i, here) and intakepipe_receive(e, c, i)):
        uploading_copy(e, c, i)


cdef inline void uploading_copy(Engine* e, Conn* c, Intake* i) noexcept nogil:
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    cdef char* at = i.buffer + (
        <uint32_t>UPLOADING_HALF_BYTES if i.chunked else i.buffer_n)
    cdef uint32_t n = min(uploading_room(i), <uint32_t>UPLOADING_PIECE_BYTES)
    if i.buffer_n == 0:
        i.waits_since_ns = e.now_ns
    i.asked = n
    intakewait_lowat(c, i, 1)
    io_uring_prep_recv(sqe, c.fd, at, n, MSG_DONTWAIT if i.block else 0)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_BODY))
    c.in_flight += 1
    i.state = INTAKE_RECEIVING


cdef inline void uploading_write(Engine* e, Conn* c, Intake* i) noexcept nogil:
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    cdef uint32_t n = intakeblock_piece(i)
    io_uring_prep_write(
        sqe, i.direct_fd if i.past_cache else i.fd, i.buffer, n,
        <uint64_t>(i.offset + i.taken))
    if i.past_cache:
        io_uring_sqe_set_flags(sqe, IOSQE_ASYNC)  # it would block, and end there anyway
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_WRITE))
    c.in_flight += 1
    i.state = INTAKE_WRITING


cdef inline void uploading_done(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """Nothing of the order is in flight."""
    intakewait_lowat(c, i, 1)
    intakeblock_give(e, i)
    if i.unwanted:
        i.state = INTAKE_ASKED
        uploading_drop(e, i)
    else:
        intake_hand_over(&e.intakes, i, ASK_DONE)


cdef inline void uploading_go(Engine* e, Conn* c) noexcept nogil:
    """The next step of an order."""
    cdef Intake* i = c.intake
    if i.state != INTAKE_READY:
        return
    if c.receiving:  # comes back when that has ended
        conn_pause_receive(e, c)
        return
    uploading_take_pending(e, c, i)
    uploading_judge(c, i)
    if i.piped:
        intakepipe_write(e, c, i)
    elif intakeblock_is_due(i) or (
            i.buffer_n and (i.end or uploading_room(i) == 0)):
        uploading_write(e, c, i)
    elif i.end:
        uploading_done(e, c, i)
    else:
        uploading_receive(e, c, i)


cdef inline bint uploading_back(Engine* e, Conn* c) noexcept nogil:
    """A completion is here. False: the connection ends."""
    c.in_flight -= 1
    e.ring.in_flight -= 1
    c.intake.state = INTAKE_READY
    return c.state == CONN_OPEN


cdef inline void uploading_came(
    Engine* e, Conn* c, Intake* i, size_t n
) noexcept nogil:
    """What follows the body is the next request's."""
    cdef char* data = i.buffer + UPLOADING_HALF_BYTES
    cdef size_t used
    if not i.chunked:
        intake_took(i, <int64_t>n)
        return
    used = uploading_decode(c, i, data, n)
    if used < n and not conn_keep_input(e, c, data + used, n - used):
        intake_end(i, INTAKE_FAILED, ENOMEM)


cdef inline void on_body(Engine* e, Conn* c, int res) noexcept nogil:
    cdef Intake* i = c.intake
    i.drained = i.block and not i.polls and <uint32_t>max(res, 0) < i.asked
    if res > 0 and not i.polls and c.state == CONN_OPEN:
        e.counters.bytes_received += res
        uploading_came(e, c, i, <size_t>res)
    if not uploading_back(e, c):
        conn_release(e, c)
        return
    if res == 0 and not i.polls:
        c.peer_closed = True
    elif res < 0 and res not in (-ECANCELED, -EINTR, -EAGAIN):
        intake_end(i, INTAKE_CUT, -res)
    uploading_go(e, c)


cdef inline void uploading_wrote(Engine* e, Intake* i, int n) noexcept nogil:
    if i.past_cache:
        e.counters.bytes_past_cache += n
    elif <uint32_t>n == i.buffer_bytes:
        intakewait_learn(e, i, n)
    intake_wrote(i, n)


cdef inline void on_write(Engine* e, Conn* c, int res) noexcept nogil:
    cdef Intake* i = c.intake
    if res > 0 and i.pipe >= 0:
        intakepipe_wrote(e, i, res)
    elif res > 0:
        uploading_wrote(e, i, res)
    elif res == -EINVAL and i.past_cache and i.pipe < 0:
        i.direct_fd = -1  # the file system has other rules: not past its cache, then
    elif res not in (-EINTR, -EAGAIN):
        i.end = INTAKE_FAILED  # whatever else had ended it
        i.error = -res if res else EIO
        i.buffer_n = 0
    if i.end == INTAKE_FAILED or c.state != CONN_OPEN:
        intakepipe_give(e, i)
    if uploading_back(e, c):
        uploading_go(e, c)
    else:
        conn_release(e, c)


cdef inline void uploading_cancel(Engine* e, Conn* c) noexcept nogil:
    """Let a RECV end that waits for the peer."""
    cdef io_uring_sqe* sqe
    if c.intake.state != INTAKE_RECEIVING:
        return
    sqe = ring_sqe(&e.ring)
    io_uring_prep_cancel64(sqe, conn_userdata(c, OP_BODY), 0)
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS)
    io_uring_sqe_set_data64(sqe, userdata_pack(OP_NONE, 0, 0))


cdef inline void uploading_late(Engine* e, Conn* c) noexcept nogil:
    """The deadline of the body; it does not count while we are waited for."""
    cdef Intake* i = c.intake
    conn_set_deadline(e, c, DEADLINE_BODY, e.limits.body_timeout_ns)
    if i == NULL or i.state != INTAKE_RECEIVING:
        return
    if not intakewait_has_input(c):
        if i.polls and uploading_patience_ns(e, i) > 0:
            conn_set_deadline(e, c, DEADLINE_BODY, uploading_patience_ns(e, i))
            return
        e.counters.timeouts_body += 1
        i.late = True
    uploading_cancel(e, c)


cdef inline void uploading_order(Engine* e, Intake* i) noexcept nogil:
    cdef Conn* c = <Conn*>i.conn
    i.end = INTAKE_GOES_ON
    i.error = 0
    i.taken = i.buffer_n = 0
    i.stopping = i.late = i.drained = i.polls = False
    i.state = INTAKE_READY
    if c == NULL or c.state != CONN_OPEN:
        intake_end(i, INTAKE_CUT, 0)
    elif not intake_make_buffer(i):
        intake_end(i, INTAKE_FAILED, ENOMEM)
    if i.end:
        intake_hand_over(&e.intakes, i, ASK_DONE)
        return
    uploading_continue(c, i)
    uploading_go(e, c)


cdef inline void uploading_leave(Engine* e, Conn* c) noexcept nogil:
    """The connection goes, or is answered; who has the intake keeps it."""
    c.intake.conn = NULL
    c.intake = NULL


cdef inline void uploading_drop(Engine* e, Intake* i) noexcept nogil:
    """Python lets go of it without an answer, when nothing is in flight that uses its
    buffer."""
    cdef Conn* c = <Conn*>i.conn
    if i.state != INTAKE_ASKED:
        i.unwanted = True
        uploading_stop(e, i)
        return
    if c != NULL:
        uploading_leave(e, c)
    intake_let_go(e, i)
    if c != NULL:
        conn_close(e, c)


cdef inline void uploading_stop(Engine* e, Intake* i) noexcept nogil:
    cdef Conn* c = <Conn*>i.conn
    if i.state == INTAKE_ASKED:
        return  # it has ended already
    i.stopping = True
    if c != NULL:
        # What has come is kept, but a peer that brings more and more is not waited for.
        i.left = min(
            i.left,
            i.buffer_n + i.piped + <int64_t>conn_pending(c) + intakewait_input(c)
            + (i.asked if i.state == INTAKE_RECEIVING and not i.polls else 0))
        uploading_cancel(e, c)
