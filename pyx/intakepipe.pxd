"""IntakePipe: a body's way from its socket into a file past user space.

What the socket has moves into a pipe at once, as references to pages; from there a
kernel worker copies it into the file's pages, so that the loop never waits for a disk.
That is one copy instead of two. A pipe of the pool is held while there is something in
it, and not while a client is waited for.
"""

from libc.errno cimport EMFILE, errno
from libc.stdint cimport int64_t

from c_file cimport SPLICE_F_MOVE, SPLICE_F_NONBLOCK, splice
from c_uring cimport *
from conn cimport Conn
from engine cimport OP_WRITE, Engine, conn_userdata
from intake cimport INTAKE_WRITING, Intake
from intakewait cimport INTAKEWAIT_LEAST_BYTES, intakewait_room
from limits cimport WRITE_AUTO, WRITE_SPLICE
from pipes cimport Pipe, pipe_ready, pipes_discard, pipes_take
from ring cimport ring_counted_sqe
from transmit cimport transmit_pipe_back


cdef inline bint intakepipe_wanted(
    const Engine* e, const Intake* i, int64_t here
) noexcept nogil:
    return (
        e.limits.write_path in (WRITE_AUTO, WRITE_SPLICE)
        and here >= INTAKEWAIT_LEAST_BYTES and i.buffer_n == 0 and not i.block)


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
        c.fd, NULL, p.writer, NULL, <size_t>min(intakewait_room(i), p.bytes),
        SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
    if n < 0:
        return -errno
    i.piped = n
    return n


cdef inline bint intakepipe_receive(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """Move what there is. False: no pipe is free, or a RECV will tell why not."""
    cdef int64_t n
    # Half of them at most: a download that waits for one would else find it taken again
    # by an upload whose socket is never empty.
    if 2 * (e.pipes.used + 1) > e.pipes.count:
        return False
    i.pipe = pipes_take(&e.pipes)
    if i.pipe < 0:
        return False
    n = intakepipe_fill(e, c, i)
    if n <= 0:
        intakepipe_give(e, i)
        return False
    i.body_left -= n
    e.counters.bytes_received += n
    intakepipe_write(e, c, i)
    return True


cdef inline void intakepipe_wrote(Engine* e, Intake* i, int64_t n) noexcept nogil:
    i.piped -= n
    i.taken += n
    i.left -= n
    if i.piped == 0:
        intakepipe_give(e, i)
