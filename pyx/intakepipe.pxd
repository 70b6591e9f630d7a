"""IntakePipe: a body's way from its socket into a file past user space.

What the socket has moves into a pipe at once, as references to pages; from there a
kernel worker copies it into the file's pages, so that the loop never waits for a disk.
That is one copy instead of two. A pipe of the pool is held while there is something in
it, and not while a client is waited for.
"""

from libc.errno cimport EAGAIN, EINTR, EMFILE, errno
from libc.stdint cimport int64_t, uint64_t

from c_file cimport SPLICE_F_MOVE, SPLICE_F_NONBLOCK, splice
from c_socket cimport (
    MSG_DONTWAIT, MSG_PEEK, POLLIN, SO_RCVLOWAT, SOL_SOCKET, recv, setsockopt,
)
from c_uring cimport *
from conn cimport Conn
from engine cimport OP_BODY, OP_WRITE, Engine, conn_userdata
from intake cimport INTAKE_RECEIVING, INTAKE_WRITING, Intake
from pipes cimport Pipe, pipe_ready, pipes_discard, pipes_take
from ring cimport ring_counted_sqe
from transmit cimport transmit_pipe_back


cdef enum WritePath:
    WRITE_AUTO
    WRITE_SPLICE
    WRITE_COPY

cdef enum:
    # Of less, a copy costs less than a pipe and a worker.
    INTAKEPIPE_LEAST_BYTES = 65536
    INTAKEPIPE_LOWAT_BYTES = 524288


cdef inline void intakepipe_lowat(Conn* c, Intake* i, int n) noexcept nogil:
    """Wake us for so much, or for the end: a body comes in many segments."""
    if i.lowat == n:
        return
    i.lowat = n
    setsockopt(c.fd, SOL_SOCKET, SO_RCVLOWAT, &n, sizeof(n))  # void: a wish


cdef inline bint intakepipe_has_input(const Conn* c) noexcept nogil:
    """Less than the low-water mark may have come."""
    cdef char first
    return recv(c.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0


cdef inline int64_t intakepipe_room(const Intake* i) noexcept nogil:
    return min(i.left, i.body_left)


cdef inline bint intakepipe_wanted(const Engine* e, const Intake* i) noexcept nogil:
    return (
        e.limits.write_path != WRITE_COPY and not i.chunked and i.buffer_n == 0
        and intakepipe_room(i) >= INTAKEPIPE_LEAST_BYTES)


cdef inline void intakepipe_poll(Engine* e, Conn* c, Intake* i) noexcept nogil:
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    io_uring_prep_poll_add(sqe, c.fd, POLLIN)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_BODY))
    c.in_flight += 1
    i.polls = True
    i.state = INTAKE_RECEIVING


cdef inline void intakepipe_write(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """What is in the pipe goes to the file."""
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    io_uring_prep_splice(
        sqe, e.pipes.items[i.pipe].reader, -1, i.fd, i.offset + i.taken,
        <unsigned int>i.piped, SPLICE_F_MOVE)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_WRITE))
    c.in_flight += 1
    i.state = INTAKE_WRITING


cdef inline void intakepipe_give(Engine* e, Intake* i) noexcept nogil:
    """What is left in it is nobody's."""
    if i.pipe < 0:
        return
    if i.piped:
        pipes_discard(&e.pipes, &e.pipes.items[i.pipe], i.piped)
    transmit_pipe_back(e, i.pipe)
    i.piped = 0
    i.pipe = -1


cdef inline int64_t intakepipe_fill(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """From the socket into the pipe: bytes, 0 at the end of the stream, or -errno."""
    cdef Pipe* p = &e.pipes.items[i.pipe]
    cdef ssize_t n
    if not pipe_ready(p):
        return -EMFILE  # not for long: meanwhile a copy does
    n = splice(
        c.fd, NULL, p.writer, NULL, <size_t>min(intakepipe_room(i), p.bytes),
        SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
    if n < 0:
        return -errno
    i.piped = n
    return n


cdef inline bint intakepipe_receive(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """Begin to move what there is, or to wait for it. False: no pipe is free, or the
    stream is at its end."""
    cdef int64_t n
    # Half of them at most: a download that waits for one would else find it taken again
    # by an upload whose socket is never empty.
    if 2 * (e.pipes.used + 1) > e.pipes.count:
        return False
    i.pipe = pipes_take(&e.pipes)
    if i.pipe < 0:
        return False
    n = intakepipe_fill(e, c, i)
    if n > 0:
        i.body_left -= n
        e.counters.bytes_received += n
        intakepipe_write(e, c, i)
        return True
    intakepipe_give(e, i)
    if n != -EAGAIN and n != -EINTR:
        return False  # a RECV will tell
    intakepipe_lowat(
        c, i, <int>min(intakepipe_room(i), <int64_t>INTAKEPIPE_LOWAT_BYTES))
    intakepipe_poll(e, c, i)
    return True


cdef inline void intakepipe_wrote(Engine* e, Intake* i, int64_t n) noexcept nogil:
    i.piped -= n
    i.taken += n
    i.left -= n
    if i.piped == 0:
        intakepipe_give(e, i)
