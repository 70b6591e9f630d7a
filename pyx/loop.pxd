"""Loop: submit, reap a batch, handle it, run timers, advance connections, again."""

from libc.errno cimport EAGAIN, EBUSY, EINTR, ETIME
from libc.stdint cimport int64_t, uint32_t, uint64_t

from accepting cimport accept_close, accept_open, on_accept
from c_assert cimport ENGINE_ASSERT
from c_socket cimport POLLIN
from c_time cimport TIME_NEVER, clock_thread_cpu_ns
from c_uring cimport *
from coalesce cimport (
    coalesce_due, coalesce_init, coalesce_learn, coalesce_measure, coalesce_wait_ns,
)
from conn cimport Conn
from delegating cimport delegating_abandon, delegating_letters
from draining cimport drain_complete, drain_start
from engine cimport (
    ENGINE_SERVING, ENGINE_STOPPED, MAIL_READY, MAIL_RETIME, MAIL_RETIME_ALL, MAIL_STOP,
    MAIL_STOPPED, OP_ACCEPT, OP_BODY, OP_MAILBOX, OP_OPEN, OP_POLL, OP_READ, OP_RECV,
    OP_SEND, OP_SEND_ZC, OP_SPLICE, OP_WRITE, Engine, engine_conn, engine_is_shared,
    engine_next_runnable,
    engine_runnable, engine_tell, engine_tick,
)
from filecache cimport File
from gate cimport gate_retime, gate_retime_all
from limits cimport (
    CQE_BATCH, LOOP_WAIT_MAX_NS, ROUND_MOVE_BYTES, SHARED_ROUND_BYTES,
)
from mailbox cimport Letter, mailbox_drain_fd, mailbox_lost, mailbox_take
from receive cimport on_recv, receive_feed_starved
from recvbufs cimport recvbufs_free, recvbufs_init, recvbufs_publish
from requests cimport conn_advance
from resolve cimport on_open, on_read
from ring cimport ring_enter, ring_exit, ring_init, ring_sqe
from sensing cimport sensing_is_wanted, sensing_run
from timers cimport timers_run
from transmit cimport (
    on_poll, on_send, on_send_zc, on_splice, transmit_call_waiting,
)
from uploading cimport on_body, on_write
from userdata cimport (
    userdata_generation, userdata_op, userdata_pack, userdata_pointer, userdata_slot,
)
from wheel cimport wheel_next_ns
from zerocopy cimport ZeroCopy, zerocopy_end

cdef extern from "<sys/prctl.h>" nogil:
    enum:
        PR_SET_TIMERSLACK
    int prctl(int option, ...)

cdef enum:
    # The kernel's default of 50 us would blur both pacing and coalescing.
    TIMER_SLACK_NS = 1000


cdef inline void mailbox_arm(Engine* e) noexcept nogil:
    cdef io_uring_sqe* sqe
    if e.mailbox_armed:
        return
    sqe = ring_sqe(&e.ring)
    io_uring_prep_poll_multishot(sqe, e.inbox.fd, POLLIN)
    io_uring_sqe_set_data64(sqe, userdata_pack(OP_MAILBOX, 0, 0))
    e.mailbox_armed = True
    e.standing += 1


cdef inline void on_letter(Engine* e, const Letter* letter) noexcept nogil:
    if letter.kind == MAIL_STOP:
        drain_start(e, letter.b)
    elif letter.kind == MAIL_RETIME:
        gate_retime(e, letter.a)
    elif letter.kind == MAIL_RETIME_ALL:
        gate_retime_all(e)


cdef inline void on_mailbox(Engine* e, uint32_t flags) noexcept nogil:
    cdef Letter letter
    if not flags & IORING_CQE_F_MORE:
        e.mailbox_armed = False
        e.standing -= 1
        mailbox_arm(e)
    mailbox_drain_fd(&e.inbox)
    while mailbox_take(&e.inbox, &letter):
        on_letter(e, &letter)
    delegating_letters(e)
    if mailbox_lost(&e.inbox):
        gate_retime_all(e)  # of what a full box drops, only this can be many


cdef inline void dispatch_conn(
    Engine* e, uint8_t op, const io_uring_cqe* cqe
) noexcept nogil:
    cdef uint64_t data = cqe.user_data
    cdef Conn* c = engine_conn(e, userdata_slot(data), userdata_generation(data))
    if c == NULL:
        return
    if op == OP_RECV:
        on_recv(e, c, cqe.res, cqe.flags)
    elif op == OP_SEND:
        on_send(e, c, cqe.res)
    elif op == OP_POLL:
        on_poll(e, c, cqe.res)
    elif op == OP_SPLICE:
        on_splice(e, c, cqe.res)
    elif op == OP_BODY:
        on_body(e, c, cqe.res)
    elif op == OP_WRITE:
        on_write(e, c, cqe.res)


cdef inline void dispatch_zerocopy(
    Engine* e, ZeroCopy* z, const io_uring_cqe* cqe
) noexcept nogil:
    cdef Conn* c
    if cqe.flags & IORING_CQE_F_NOTIF:
        zerocopy_end(e, z)
        return
    # Its SQE is in flight, so that the slot is still its own.
    c = engine_conn(e, z.slot, z.generation)
    ENGINE_ASSERT(c != NULL)
    on_send_zc(e, c, z, cqe.res, cqe.flags)


cdef inline void dispatch(Engine* e, const io_uring_cqe* cqe) noexcept nogil:
    """Every completion passes here. Kinds that name a connection come first."""
    cdef uint8_t op = userdata_op(cqe.user_data)
    if OP_RECV <= op <= OP_WRITE:
        dispatch_conn(e, op, cqe)
    elif op == OP_SEND_ZC:
        dispatch_zerocopy(e, <ZeroCopy*>userdata_pointer(cqe.user_data), cqe)
    elif op == OP_ACCEPT:
        on_accept(e, userdata_slot(cqe.user_data), cqe.res, cqe.flags)
    elif op == OP_MAILBOX:
        on_mailbox(e, cqe.flags)
    elif op == OP_OPEN:
        on_open(e, <File*>userdata_pointer(cqe.user_data), cqe.res)
    elif op == OP_READ:
        on_read(e, <File*>userdata_pointer(cqe.user_data), cqe.res)


cdef inline uint32_t loop_reap(Engine* e) noexcept nogil:
    """Copy a batch and free its CQ entries, so that handlers may submit."""
    cdef io_uring_cqe* ready[CQE_BATCH]
    cdef uint32_t n = io_uring_peek_batch_cqe(&e.ring.uring, ready, CQE_BATCH)
    cdef uint32_t i
    for i in range(n):
        e.batch[i].user_data = ready[i].user_data
        e.batch[i].res = ready[i].res
        e.batch[i].flags = ready[i].flags
    io_uring_cq_advance(&e.ring.uring, n)
    return n


cdef inline int64_t loop_wait_ns(Engine* e) noexcept nogil:
    cdef int64_t wait
    if engine_runnable(e):
        return 0
    wait = wheel_next_ns(&e.wheel)
    if sensing_is_wanted(e):
        wait = min(wait, e.sense_due_ns)
    if wait == TIME_NEVER:
        return LOOP_WAIT_MAX_NS
    wait -= e.now_ns
    return min(max(wait, 0), LOOP_WAIT_MAX_NS)


cdef inline void loop_advance(Engine* e) noexcept nogil:
    """Those runnable now, until they have moved enough: whoever sends a request
    meanwhile must not wait for all the downloads there are. What they make runnable
    waits for the next round, too."""
    cdef int64_t enough = e.counters.bytes_sent + (
        SHARED_ROUND_BYTES if engine_is_shared(e) else ROUND_MOVE_BYTES)
    cdef uint32_t left = engine_runnable(e)
    e.advanced = left
    while left and e.counters.bytes_sent < enough:
        conn_advance(e, engine_next_runnable(e))
        left -= 1


cdef inline int loop_once(Engine* e) noexcept nogil:
    """0, or -errno when the ring does not work any more."""
    cdef uint32_t n, i
    cdef int64_t wait_ns = coalesce_wait_ns(&e.coalesce, loop_wait_ns(e))
    cdef int rc = ring_enter(&e.ring, wait_ns, e.coalesce.want)
    if rc < 0 and rc not in (-ETIME, -EINTR, -EAGAIN, -EBUSY):
        return rc
    engine_tick(e)
    if io_uring_cq_has_overflow(&e.ring.uring):
        e.counters.cq_overflows += 1
    n = loop_reap(e)
    coalesce_learn(&e.coalesce, n)
    if coalesce_due(&e.coalesce, e.now_ns):
        coalesce_measure(&e.coalesce, e.now_ns, clock_thread_cpu_ns())
    for i in range(n):
        dispatch(e, &e.batch[i])
    recvbufs_publish(&e.recvbufs)
    if e.starved != NULL:
        receive_feed_starved(e)
    timers_run(e)
    sensing_run(e)
    loop_advance(e)
    transmit_call_waiting(e)
    e.counters.loops += 1
    e.counters.cqes += n
    return 0


cdef inline int loop_open(Engine* e) noexcept nogil:
    cdef int rc = ring_init(&e.ring, e.limits.sq_entries, e.limits.iowq_workers)
    if rc == 0:
        # Void: a wish. A worker elsewhere would take time from another engine, and its
        # answer would have to cross over.
        penstock_pin_workers(&e.ring.uring, e.cpu)
    if rc == 0 and e.limits.busy_poll_us:
        # Void: a wish. Kernels before 6.9 poll in the sockets' own waits only.
        penstock_register_napi(&e.ring.uring, e.limits.busy_poll_us)
    if rc == 0:
        rc = recvbufs_init(
            &e.recvbufs, &e.ring.uring, e.limits.receive_buffers,
            e.limits.receive_buffer_bytes)
    if rc < 0:
        ring_exit(&e.ring)
    return rc


cdef inline int loop_run(Engine* e) noexcept nogil:
    """The engine's life in its own thread; 0 when it was stopped, else -errno."""
    cdef int rc = loop_open(e)
    if rc < 0:
        return rc
    engine_tick(e)
    coalesce_init(&e.coalesce, e.now_ns, clock_thread_cpu_ns())
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0)  # void: only precision
    e.state = ENGINE_SERVING
    mailbox_arm(e)
    accept_open(e)
    engine_tell(e, MAIL_READY, 0)
    while rc == 0 and not drain_complete(e):
        rc = loop_once(e)
    e.state = ENGINE_STOPPED
    if rc == 0:
        io_uring_submit(&e.ring.uring)  # void: the last CLOSEs
    accept_close(e)
    ring_exit(&e.ring)
    delegating_abandon(e)
    recvbufs_free(&e.recvbufs)
    engine_tell(e, MAIL_STOPPED, e.drain_cut)
    return rc
