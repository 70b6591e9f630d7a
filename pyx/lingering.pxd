"""Lingering: our FIN is out, and input is thrown away until the peer's.

Closing with input unread, or before all input has come, would turn into an RST that can
destroy the response on its way (RFC 9112 section 9.6). The peer's FIN mostly comes
within a millisecond, so it is looked for once, by a timer that many connections share a
tick of, before a RECV waits for it: that would wake the loop for every connection.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t

from c_socket cimport MSG_DONTWAIT, MSG_TRUNC, SHUT_WR, recv, shutdown
from closing cimport (
    conn_close, conn_forget_input, conn_pause_receive, conn_receive,
)
from conn cimport CONN_LINGERING, CONN_OPEN, DEADLINE_LINGER, Conn
from engine cimport Engine, conn_set_deadline, engine_drop_request
from limits cimport COPY_BYTES, LINGER_BYTES_MAX
from wheel cimport wheel_arm


cdef extern from *:
    """
    #define LINGER_LOOK_NS INT64_C(2000000)
    """
    const int64_t LINGER_LOOK_NS


cdef inline bint linger_may_look(const Engine* e, const Conn* c) noexcept nogil:
    """Not where a RECV is armed, nor where somebody may soon need the slot."""
    return not c.receiving and e.conns.used <= e.limits.max_connections // 2


cdef inline void conn_linger(Engine* e, Conn* c) noexcept nogil:
    """Send our FIN and throw input away until theirs."""
    if c.state != CONN_OPEN:
        return
    if c.peer_closed or shutdown(c.fd, SHUT_WR) < 0:
        conn_close(e, c)
        return
    c.state = CONN_LINGERING
    conn_forget_input(e, c)
    engine_drop_request(e, c)
    conn_set_deadline(e, c, DEADLINE_LINGER, e.limits.linger_timeout_ns)
    if linger_may_look(e, c):
        wheel_arm(
            &e.wheel, &c.timer, min(c.deadline_ns, e.now_ns + LINGER_LOOK_NS))
    else:
        conn_receive(e, c)


cdef inline void linger_discard(Engine* e, Conn* c, size_t n) noexcept nogil:
    """Read what nobody will: closing with input unread would be an RST, which can
    destroy the response. Who never stops is held back, or cut if it is answered."""
    c.linger_bytes += <uint32_t>n
    if c.linger_bytes <= LINGER_BYTES_MAX:
        return
    if c.state == CONN_LINGERING:
        conn_close(e, c)
    else:
        conn_pause_receive(e, c)


cdef inline void linger_look(Engine* e, Conn* c) noexcept nogil:
    """Close if the peer did; else let a RECV wait for it."""
    cdef ssize_t n = recv(c.fd, e.copy_buffer, COPY_BYTES, MSG_TRUNC | MSG_DONTWAIT)
    if n > 0:
        linger_discard(e, c, <size_t>n)
    elif n == 0 or errno not in (EAGAIN, EINTR):
        conn_close(e, c)
    if c.state == CONN_LINGERING:
        conn_receive(e, c)
