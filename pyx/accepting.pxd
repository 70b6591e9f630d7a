"""Accepting: multishot ACCEPT on every listener of the engine."""

from libc.errno cimport ECONNABORTED
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from c_errno cimport ECANCELED
from c_file cimport close
from c_socket cimport (
    AF_INET, AF_INET6, IPPROTO_TCP, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_NONBLOCK,
    TCP_DEFER_ACCEPT, getpeername, getsockopt, recv, sockaddr, sockaddr_in,
    sockaddr_in6, sockaddr_storage,
)
from c_uring cimport *
from cidr cimport ADDRESS_BYTES
from closing cimport conn_receive_once
from conn cimport DEADLINE_HEADER, TIMER_ACCEPT, Conn
from engine cimport (
    ENGINE_SERVING, MAIL_ACCEPT_PAUSED, MAIL_ACCEPT_RESUMED, OP_ACCEPT, OP_NONE, Engine,
    Listener, conn_set_deadline, engine_new_conn, engine_tell,
)
from identify cimport conn_adopt
from limits cimport ACCEPT_BACKOFF_NS, COPY_BYTES
from receive cimport receive_again, receive_bytes
from ring cimport ring_sqe
from slab cimport slab_release
from userdata cimport userdata_pack
from wheel cimport wheel_arm, wheel_cancel


cdef enum:
    # Inline moves of files must not wait; SEND and RECV of io_uring wait all the same.
    ACCEPTED_FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK


cdef inline void accept_arm(Engine* e, uint32_t i) noexcept nogil:
    cdef Listener* listener = &e.listeners[i]
    cdef io_uring_sqe* sqe
    if listener.accepting or e.state != ENGINE_SERVING:
        return
    sqe = ring_sqe(&e.ring)
    io_uring_prep_multishot_accept(sqe, listener.fd, NULL, NULL, ACCEPTED_FLAGS)
    io_uring_sqe_set_data64(sqe, userdata_pack(OP_ACCEPT, i, 0))
    listener.accepting = True
    e.standing += 1


cdef inline void accept_open(Engine* e) noexcept nogil:
    """Begin to serve every listener."""
    cdef uint32_t i
    cdef int seconds
    cdef unsigned int n
    for i in range(e.listeners_n):
        seconds = 0
        n = sizeof(seconds)
        # Void: where the question fails, nothing is deferred.
        getsockopt(e.listeners[i].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, &n)
        e.listeners[i].deferred = seconds > 0
        accept_arm(e, i)


cdef inline void conn_read_address(Conn* c) noexcept nogil:
    """The peer's, v4 as v4-mapped; none if the peer is gone already."""
    cdef sockaddr_storage peer
    cdef unsigned int n = sizeof(peer)
    peer.ss_family = 0
    if getpeername(c.fd, <sockaddr*>&peer, &n) < 0:
        return
    if peer.ss_family == AF_INET:
        c.address[10] = c.address[11] = 0xFF
        memcpy(&c.address[12], &(<sockaddr_in*>&peer).sin_addr, 4)
    elif peer.ss_family == AF_INET6:
        memcpy(c.address, (<sockaddr_in6*>&peer).sin6_addr.s6_addr, ADDRESS_BYTES)
    else:
        return
    c.has_address = True


cdef inline void accept_receive(Engine* e, Conn* c, bint deferred) noexcept nogil:
    """A deferred connection brings its request: read at once, it needs no SQE. Other
    clients send after their half of the handshake, when this has long been done.

    The copy buffer is free for it, because no response moves a file's bytes before the
    list of runnable connections is walked (``response_start``)."""
    cdef ssize_t n = 0
    cdef int64_t most = min(<int64_t>e.limits.receive_buffer_bytes, COPY_BYTES)
    if deferred:
        n = recv(c.fd, e.copy_buffer, <size_t>most, MSG_DONTWAIT)
    if n <= 0:
        conn_receive_once(e, c)  # which sees an error or a FIN, too
        return
    receive_bytes(e, c, e.copy_buffer, <size_t>n)
    receive_again(e, c)


cdef inline void accept_one(Engine* e, int fd, bint deferred) noexcept nogil:
    """A slot for the socket. Beyond ``max_connections`` its first request gets 503;
    beyond the slots for that it is closed at once."""
    cdef Conn* c = engine_new_conn(e, fd)
    e.counters.accepted += 1
    if c == NULL:
        e.counters.refused += 1
        close(fd)
        return
    if e.conns.used > e.limits.max_connections:
        e.counters.refused += 1
        c.refusing = True
    conn_read_address(c)
    conn_adopt(e, c)
    c.counted = True
    # The first request must come as quickly as any later one.
    conn_set_deadline(e, c, DEADLINE_HEADER, e.limits.header_timeout_ns)
    accept_receive(e, c, deferred)


cdef inline void accept_resume(Engine* e, uint32_t i) noexcept nogil:
    """After the backoff."""
    accept_arm(e, i)
    if e.listeners[i].paused:
        e.listeners[i].paused = False
        engine_tell(e, MAIL_ACCEPT_RESUMED, 0)


cdef inline void accept_failed(Engine* e, uint32_t i, int error) noexcept nogil:
    """EMFILE, ENFILE, ENOBUFS, ENOMEM: descriptors or memory may come back."""
    cdef Listener* listener = &e.listeners[i]
    if error == ECONNABORTED:
        return
    e.counters.accept_errors += 1
    if not listener.paused:
        engine_tell(e, MAIL_ACCEPT_PAUSED, error)
    listener.paused = True
    listener.timer.kind = TIMER_ACCEPT
    listener.timer.owner = i
    wheel_arm(&e.wheel, &listener.timer, e.now_ns + ACCEPT_BACKOFF_NS)


cdef inline void on_accept(
    Engine* e, uint32_t i, int res, uint32_t flags
) noexcept nogil:
    cdef Listener* listener = &e.listeners[i]
    if not flags & IORING_CQE_F_MORE:
        listener.accepting = False
        e.standing -= 1
    if res >= 0:
        if e.state == ENGINE_SERVING:
            accept_one(e, res, listener.deferred)
        else:
            close(res)
    elif res != -ECANCELED:
        accept_failed(e, i, -res)
    if not listener.accepting and not listener.paused:
        accept_arm(e, i)


cdef inline void accept_stop(Engine* e) noexcept nogil:
    """Cancel every ACCEPT; the sockets are closed when that has been reaped."""
    cdef uint32_t i
    cdef io_uring_sqe* sqe
    for i in range(e.listeners_n):
        wheel_cancel(&e.wheel, &e.listeners[i].timer)
        if not e.listeners[i].accepting:
            continue
        sqe = ring_sqe(&e.ring)
        io_uring_prep_cancel64(sqe, userdata_pack(OP_ACCEPT, i, 0), 0)
        io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS)
        io_uring_sqe_set_data64(sqe, userdata_pack(OP_NONE, 0, 0))


cdef inline void accept_close(Engine* e) noexcept nogil:
    cdef uint32_t i
    for i in range(e.listeners_n):
        if e.listeners[i].fd >= 0 and not e.listeners[i].accepting:
            close(e.listeners[i].fd)
            e.listeners[i].fd = -1
