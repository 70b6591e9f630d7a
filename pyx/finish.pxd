"""Finish: what follows the last byte of a response."""

from c_file cimport F_SETFL, fcntl
from closing cimport conn_linger, conn_receive, transfer_end
from conn cimport DEADLINE_IDLE, Conn, conn_pending
from engine cimport (
    ENGINE_DRAINING, Engine, conn_set_deadline, engine_run_soon,
)
from transfer cimport Transfer


cdef inline void conn_block_again(Conn* c, Transfer* t) noexcept nogil:
    """Undo O_NONBLOCK: with it, io_uring would answer EAGAIN instead of waiting."""
    if t.nonblocking:
        fcntl(c.fd, F_SETFL, 0)
        t.nonblocking = False


cdef inline void conn_response_done(Engine* e, Conn* c) noexcept nogil:
    cdef bint close = c.transfer.close_after
    conn_block_again(c, c.transfer)
    transfer_end(e, c)
    if close or e.state == ENGINE_DRAINING or (c.peer_closed and not conn_pending(c)):
        conn_linger(e, c)
        return
    conn_set_deadline(e, c, DEADLINE_IDLE, e.limits.idle_timeout_ns)
    if conn_pending(c):
        engine_run_soon(e, c)
    else:
        conn_receive(e, c)
