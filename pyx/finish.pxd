"""Finish: what follows the last byte of a response."""

from closing cimport conn_receive, transfer_end
from conn cimport DEADLINE_IDLE, Conn, conn_pending
from engine cimport (
    ENGINE_DRAINING, Engine, conn_set_deadline, engine_run_soon,
)
from lingering cimport conn_linger
from sockmode cimport sockmode_cork


cdef inline void conn_response_done(Engine* e, Conn* c) noexcept nogil:
    cdef bint close = c.transfer.close_after
    sockmode_cork(c, c.transfer, False)
    transfer_end(e, c)
    if close or e.state == ENGINE_DRAINING or (c.peer_closed and not conn_pending(c)):
        conn_linger(e, c)
        return
    conn_set_deadline(e, c, DEADLINE_IDLE, e.limits.idle_timeout_ns)
    if conn_pending(c):
        engine_run_soon(e, c)
    else:
        conn_receive(e, c)
