"""Timers: what happens when a deadline passes."""

from accepting cimport accept_resume
from closing cimport conn_close
from conn cimport (
    CONN_CLOSING, CONN_LINGERING, DEADLINE_BODY, DEADLINE_HEADER, DEADLINE_IDLE,
    DEADLINE_LINGER, DEADLINE_WRITE, TIMER_ACCEPT, TIMER_CONN, TIMER_DRAIN, TIMER_GATE,
    Conn,
)
from draining cimport drain_expire
from engine cimport Engine, conn_set_deadline
from gate cimport gate_timer
from identify cimport conn_client
from lingering cimport linger_look
from respond cimport respond_status
from slab cimport slab_at
from transfer cimport TRANSFER_FILLING, TRANSFER_PARKED, TRANSFER_QUEUED
from uploading cimport uploading_late
from wheel cimport Timer, wheel_arm, wheel_pop


cdef inline bint peer_is_waited_for(const Conn* c) noexcept nogil:
    """Not while the transfer waits for tokens, for a pipe or for a disk."""
    return c.transfer == NULL or c.transfer.state not in (
        TRANSFER_PARKED, TRANSFER_QUEUED, TRANSFER_FILLING)


cdef inline void timeout_header(Engine* e, Conn* c) noexcept nogil:
    """408 where a request has begun, else only a close (RFC 9110 section 15.5.9)."""
    if c.file != NULL:  # it waits for our disk
        conn_set_deadline(e, c, DEADLINE_HEADER, e.limits.header_timeout_ns)
        return
    e.counters.timeouts_header += 1
    if c.request != NULL and c.request.begun:
        respond_status(e, c, 408, conn_client(e, c), True)
    else:
        conn_close(e, c)


cdef inline void timer_conn(Engine* e, Conn* c) noexcept nogil:
    if c.state == CONN_CLOSING:
        return
    if c.state == CONN_LINGERING and not c.receiving and not c.starved:
        wheel_arm(&e.wheel, &c.timer, c.deadline_ns)
        linger_look(e, c)
    elif c.deadline_ns > e.now_ns:
        wheel_arm(&e.wheel, &c.timer, c.deadline_ns)
    elif c.deadline == DEADLINE_HEADER:
        timeout_header(e, c)
    elif c.deadline == DEADLINE_BODY:
        uploading_late(e, c)
    elif c.deadline == DEADLINE_WRITE and not peer_is_waited_for(c):
        conn_set_deadline(e, c, DEADLINE_WRITE, e.limits.write_timeout_ns)
    else:
        if c.deadline == DEADLINE_IDLE:
            e.counters.timeouts_idle += 1
        elif c.deadline == DEADLINE_WRITE:
            e.counters.timeouts_write += 1
        conn_close(e, c)


cdef inline void on_timer(Engine* e, Timer* t) noexcept nogil:
    if t.kind == TIMER_CONN:
        timer_conn(e, <Conn*>slab_at(&e.conns, t.owner))
    elif t.kind == TIMER_GATE:
        gate_timer(e, t.owner)
    elif t.kind == TIMER_ACCEPT:
        accept_resume(e, t.owner)
    elif t.kind == TIMER_DRAIN:
        drain_expire(e)


cdef inline void timers_run(Engine* e) noexcept nogil:
    cdef Timer* t = wheel_pop(&e.wheel, e.now_ns)
    while t != NULL:
        on_timer(e, t)
        t = wheel_pop(&e.wheel, e.now_ns)
