"""Closing: shutdown, cancel, wait for every SQE, close, recycle the slot.

A descriptor is closed only when nothing in flight names it, and a slot is recycled
only then, so a late completion can reach neither a stranger's socket nor a stranger's
memory.
"""

from libc.stdint cimport int64_t, uint32_t

from c_socket cimport SHUT_RDWR, shutdown
from c_uring cimport *
from conn cimport CONN_CLOSING, Conn, conn_drop_pending, conn_keep_pending
from engine cimport (
    OP_NONE, OP_RECV, Engine, conn_userdata, engine_drop_request, engine_drop_transfer,
)
from filecache cimport File, file_unref
from finding cimport clients_leave
from gate cimport gate_cancel
from grant cimport grant_return
from holders cimport HOLD_CONNECTION, HOLD_TRANSFER
from intake cimport (
    ASK_DONE, INTAKE_ASKED, INTAKE_CUT, Intake, intake_end, intake_hand_over,
    intakes_release,
)
from intakeblock cimport intakeblock_give
from limits cimport PENDING_INTAKE_BYTES, PENDING_TOTAL_BYTES_MAX
from pipes cimport pipes_unwait
from recvbufs cimport RECV_GROUP
from ring cimport ring_counted_sqe, ring_sqe
from sensing cimport sensing_end
from slab cimport slab_release
from transfer cimport (
    TRANSFER_PARKED, TRANSFER_QUEUED, TRANSFER_READY, Transfer, transfer_drop_sources,
)
from userdata cimport userdata_pack
from wheel cimport wheel_cancel


cdef inline void conn_arm_receive(Conn* c, io_uring_sqe* sqe) noexcept nogil:
    """``sqe`` is a prepared RECV: into provided buffers."""
    io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT)
    sqe.buf_group = RECV_GROUP
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_RECV))
    c.receiving = True
    c.in_flight += 1


cdef inline void conn_receive(Engine* e, Conn* c) noexcept nogil:
    """Arm a multishot RECV."""
    cdef io_uring_sqe* sqe
    if c.receiving or c.starved or c.peer_closed:
        return
    sqe = ring_counted_sqe(&e.ring)
    io_uring_prep_recv_multishot(sqe, c.fd, NULL, 0, 0)
    conn_arm_receive(c, sqe)


cdef inline void conn_receive_once(Engine* e, Conn* c) noexcept nogil:
    """Arm a RECV for a first request: most connections bring one and end, and need no
    other poll; ``receive_again`` arms the next."""
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    io_uring_prep_recv(sqe, c.fd, NULL, 0, 0)
    conn_arm_receive(c, sqe)


cdef inline void transfer_end(Engine* e, Conn* c) noexcept nogil:
    """Give everything back that the transfer held; nothing of it is in flight."""
    cdef Transfer* t = c.transfer
    sensing_end(e, c, t)
    grant_return(e, t)
    transfer_drop_sources(t)
    clients_leave(e.clients, t.client, HOLD_TRANSFER)
    engine_drop_transfer(e, c)


cdef inline void conn_leave_file(Engine* e, Conn* c) noexcept nogil:
    """Stop waiting for a file."""
    cdef File* f = c.file
    cdef Conn* at
    if f == NULL:
        return
    at = <Conn*>f.waiters
    if at == c:
        f.waiters = c.waiter_next
    else:
        while at != NULL and at.waiter_next != c:
            at = at.waiter_next
        if at != NULL:
            at.waiter_next = c.waiter_next
    c.waiter_next = NULL
    c.file = NULL
    file_unref(f)


cdef inline int64_t conn_pending_most(const Engine* e) noexcept nogil:
    """And the beginnings of bodies that Python has not asked for yet."""
    return PENDING_TOTAL_BYTES_MAX + (
        <int64_t>e.intakes.slab.used * PENDING_INTAKE_BYTES)


cdef inline bint conn_keep_input(
    Engine* e, Conn* c, const char* data, size_t n
) noexcept nogil:
    """Input for later; false when it is too much."""
    cdef bint first = c.pending == NULL
    cdef uint32_t before = c.pending_cap
    if e.counters.pending_bytes + <int64_t>n > conn_pending_most(e) or (
            not conn_keep_pending(c, data, n)):
        e.counters.pending_cut += 1
        return False
    e.counters.pending_bytes += c.pending_cap - before
    if first:
        e.counters.pending += 1
    return True


cdef inline void conn_forget_input(Engine* e, Conn* c) noexcept nogil:
    if c.pending != NULL:
        e.counters.pending -= 1
        e.counters.pending_bytes -= c.pending_cap
    conn_drop_pending(c)


cdef inline void intake_let_go(Engine* e, Intake* i) noexcept nogil:
    """Nobody uses it any more. It has held its client until now: Python may have asked
    for the name after the connection went."""
    clients_leave(e.clients, i.client, HOLD_TRANSFER)
    intakes_release(&e.intakes, i)


cdef inline void conn_lose_intake(Engine* e, Conn* c) noexcept nogil:
    """Python hears of it with what it wants next, or now, if it waits."""
    cdef Intake* i = c.intake
    c.intake = NULL
    i.conn = NULL
    intakeblock_give(e, i)
    if i.unwanted:
        intake_let_go(e, i)
    elif i.state != INTAKE_ASKED:
        intake_end(i, INTAKE_CUT, 0)
        intake_hand_over(&e.intakes, i, ASK_DONE)


cdef inline void conn_release(Engine* e, Conn* c) noexcept nogil:
    """Recycle a closing connection once nothing refers to it any more."""
    cdef io_uring_sqe* sqe
    if c.state != CONN_CLOSING or c.in_flight or c.runnable or c.starved:
        return
    if c.transfer != NULL:
        transfer_end(e, c)
    if c.intake != NULL:
        conn_lose_intake(e, c)
    if c.counted:
        clients_leave(e.clients, c.client, HOLD_CONNECTION)
    sqe = ring_sqe(&e.ring)
    io_uring_prep_close(sqe, c.fd)
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS)
    io_uring_sqe_set_data64(sqe, userdata_pack(OP_NONE, 0, 0))
    slab_release(&e.conns, c.slot)


cdef inline void conn_cancel_all(Engine* e, Conn* c) noexcept nogil:
    cdef io_uring_sqe* sqe = ring_sqe(&e.ring)
    io_uring_prep_cancel_fd(sqe, c.fd, IORING_ASYNC_CANCEL_ALL)
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS)
    io_uring_sqe_set_data64(sqe, userdata_pack(OP_NONE, 0, 0))


cdef inline void conn_close(Engine* e, Conn* c) noexcept nogil:
    """End the connection now; what is in flight finishes first."""
    cdef Transfer* t = c.transfer
    if c.state == CONN_CLOSING:
        return
    c.state = CONN_CLOSING
    wheel_cancel(&e.wheel, &c.timer)
    conn_forget_input(e, c)
    conn_leave_file(e, c)
    engine_drop_request(e, c)
    if t != NULL:
        if t.state == TRANSFER_PARKED:
            gate_cancel(e, t)
        elif t.state == TRANSFER_QUEUED:
            pipes_unwait(&e.pipes, t)
            t.state = TRANSFER_READY
        if t.state == TRANSFER_READY:
            transfer_end(e, c)
    if c.in_flight:
        shutdown(c.fd, SHUT_RDWR)  # void: a socket that is gone is what we want
        if c.in_flight > 1 or not c.receiving:
            conn_cancel_all(e, c)  # a RECV ends by the shutdown alone
    conn_release(e, c)


cdef inline void conn_pause_receive(Engine* e, Conn* c) noexcept nogil:
    """Let the peer's TCP window close: enough unparsed input is here."""
    cdef io_uring_sqe* sqe
    if not c.receiving or c.pausing:
        return
    c.pausing = True
    sqe = ring_sqe(&e.ring)
    io_uring_prep_cancel64(sqe, conn_userdata(c, OP_RECV), 0)
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS)
    io_uring_sqe_set_data64(sqe, userdata_pack(OP_NONE, 0, 0))
