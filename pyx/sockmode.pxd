"""SockMode: what is set on a socket while a large file goes out, and what it uses.

Accepted sockets are O_NONBLOCK, so that no inline move blocks the loop; SEND and RECV
of io_uring wait by themselves all the same.

TCP_CORK lets the kernel send full segments only: without it every splice pushes its
tail, and 100 MiB over loopback cost a sixth more CPU. The kernel holds a tail for up to
200 ms, so the cork goes in only for whole pieces and comes out whenever the transfer
waits for something else than its socket: tokens, a disk, a pipe, its end.
"""

from libc.string cimport memcmp

from c_socket cimport (
    IPPROTO_TCP, TCP_CONGESTION, TCP_CORK, getsockopt, setsockopt,
)
from conn cimport PACING_NOT, PACING_UNKNOWN, PACING_YES, Conn
from transfer cimport Transfer


cdef enum:
    CC_NAME_BYTES = 16   # TCP_CA_NAME_MAX


cdef inline void sockmode_cork(Conn* c, Transfer* t, bint corked) noexcept nogil:
    cdef int value = corked
    if t.corked != corked:
        setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value))  # void: speed
        t.corked = corked


cdef inline bint sockmode_paces(Conn* c) noexcept nogil:
    """Whether the connection's congestion control paces (BBR does, in every version).
    A route may have chosen it: only the socket itself knows."""
    cdef char name[CC_NAME_BYTES]
    cdef unsigned int n = CC_NAME_BYTES
    if c.pacing == PACING_UNKNOWN:
        c.pacing = PACING_NOT
        if getsockopt(c.fd, IPPROTO_TCP, TCP_CONGESTION, name, &n) == 0:
            if n >= 3 and memcmp(name, b"bbr", 3) == 0:
                c.pacing = PACING_YES
    return c.pacing == PACING_YES
