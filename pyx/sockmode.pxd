"""SockMode: what a socket is set to while files are spliced to it, and undone after.

O_NONBLOCK keeps a splice from blocking the loop when the socket is full; without it
io_uring waits by itself, with it, it would answer EAGAIN.

TCP_CORK lets the kernel send full segments only: without it every splice pushes its
tail, and 100 MiB over loopback cost a sixth more CPU. The kernel holds a tail for up to
200 ms, so the cork goes in only for whole pieces and comes out whenever the transfer
waits for something else than its socket: tokens, a disk, a pipe, its end.
"""

from c_file cimport F_SETFL, O_NONBLOCK, fcntl
from c_socket cimport IPPROTO_TCP, TCP_CORK, setsockopt
from conn cimport Conn
from transfer cimport Transfer


cdef inline void sockmode_splice(Conn* c, Transfer* t) noexcept nogil:
    if not t.nonblocking:
        fcntl(c.fd, F_SETFL, O_NONBLOCK)
        t.nonblocking = True


cdef inline void sockmode_cork(Conn* c, Transfer* t, bint corked) noexcept nogil:
    cdef int value = corked
    if t.corked != corked:
        setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value))  # void: speed
        t.corked = corked


cdef inline void sockmode_plain(Conn* c, Transfer* t) noexcept nogil:
    sockmode_cork(c, t, False)
    if t.nonblocking:
        fcntl(c.fd, F_SETFL, 0)
        t.nonblocking = False
