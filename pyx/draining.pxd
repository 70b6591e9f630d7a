"""Draining: stop accepting, let what runs finish, cut what does not in time."""

from libc.stdint cimport int64_t, uint32_t

from accepting cimport accept_close, accept_stop
from closing cimport conn_close
from conn cimport (
    CONN_CLOSING, CONN_LINGERING, CONN_OPEN, TIMER_DRAIN, Conn, conn_busy, conn_pending,
)
from engine cimport (
    ENGINE_DRAINING, ENGINE_SERVING, MAIL_DRAINING, Engine, engine_tell,
)
from slab cimport slab_at, slab_generation, slab_live
from wheel cimport timer_armed, wheel_arm


cdef inline bint conn_is_idle(const Conn* c) noexcept nogil:
    """One that lingers is not: closing it could destroy a response on its way."""
    return (
        c.state == CONN_OPEN and c.request == NULL
        and not conn_busy(c) and not conn_pending(c))


cdef inline void drain_connections(Engine* e, bint idle_only) noexcept nogil:
    cdef uint32_t i
    cdef Conn* c
    for i in range(e.conns.capacity):
        if e.conns.used == 0:
            return
        if not slab_live(&e.conns, i, slab_generation(&e.conns, i)):
            continue
        c = <Conn*>slab_at(&e.conns, i)
        if c.state == CONN_CLOSING or (idle_only and not conn_is_idle(c)):
            continue
        if not idle_only and c.state != CONN_LINGERING:
            e.drain_cut += 1
        conn_close(e, c)


cdef inline void drain_expire(Engine* e) noexcept nogil:
    """The deadline: cut what is left."""
    drain_connections(e, False)


cdef inline void drain_start(Engine* e, int64_t drain_ns) noexcept nogil:
    """A second call only brings the deadline forward."""
    if e.state == ENGINE_SERVING:
        e.state = ENGINE_DRAINING
        engine_tell(e, MAIL_DRAINING, e.conns.used)
        accept_stop(e)
        drain_connections(e, True)
    e.drain_timer.kind = TIMER_DRAIN
    if timer_armed(&e.drain_timer) and e.drain_timer.deadline_ns < e.now_ns + drain_ns:
        return
    wheel_arm(&e.wheel, &e.drain_timer, e.now_ns + drain_ns)


cdef inline bint drain_complete(Engine* e) noexcept nogil:
    """Nothing is open and nothing is in flight but the mailbox's poll."""
    if e.state != ENGINE_DRAINING:
        return False
    accept_close(e)
    return (
        e.conns.used == 0 and e.ring.in_flight == 0
        and e.standing == (1 if e.mailbox_armed else 0))
