"""Move: one attempt to bring a piece of a file to a socket, inline.

None of them waits: the socket is O_NONBLOCK, and the caller has made sure that the
pages are in the page cache (``move_copy`` makes sure itself). None leaves anything
behind: what the socket did not take is taken again from the file.
"""

from libc.errno cimport (
    EAGAIN, EINTR, EMFILE, ENOBUFS, ENODATA, EOPNOTSUPP, EPIPE, errno,
)
from libc.stdint cimport int64_t

from c_file cimport (
    RWF_NOWAIT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, preadv2, sendfile,
    splice,
)
from c_socket cimport MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, iovec, send
from pipes cimport Pipe, Pipes, pipe_ready, pipes_discard


cdef struct Moved:
    int64_t n    # bytes that the socket took
    int error    # 0: all of them, or why not (below), or another -errno

# -EAGAIN: the socket is full. -EINTR: try again. -ENODATA: the file ended. -ENOBUFS: a
# disk would have to be asked.


cdef inline Moved move_drain(Pipe* pipe, int sock, int64_t n, bint more) noexcept nogil:
    """Pipe to socket until ``n`` are moved or it refuses."""
    cdef unsigned int flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK
    cdef Moved m
    cdef ssize_t rc
    m.n = 0
    m.error = 0
    if more:
        flags |= SPLICE_F_MORE
    while m.n < n and m.error == 0:
        rc = splice(pipe.reader, NULL, sock, NULL, <size_t>(n - m.n), flags)
        if rc > 0:
            m.n += rc
        elif rc == 0:
            m.error = -EPIPE
        elif errno != EINTR:
            m.error = -errno
    return m


cdef inline Moved move_splice(
    Pipes* ps, int file, int64_t offset, int sock, int64_t n, bint more
) noexcept nogil:
    """Through the scratch pipe, which is empty before and after."""
    cdef Moved m
    cdef ssize_t filled
    m.n = 0
    if not pipe_ready(&ps.scratch):
        m.error = -EMFILE
        return m
    filled = splice(
        file, &offset, ps.scratch.writer, NULL, <size_t>n,
        SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
    if filled <= 0:
        m.error = -errno if filled < 0 else -ENODATA
        if m.error == -EAGAIN:
            m.error = -EINTR
        return m
    m = move_drain(&ps.scratch, sock, filled, more)
    pipes_discard(ps, &ps.scratch, filled - m.n)
    return m


cdef inline Moved move_sendfile(
    int file, int64_t offset, int sock, int64_t n
) noexcept nogil:
    """A short count is a full socket, the end of the file, or a signal: the next
    attempt tells which."""
    cdef Moved m
    cdef ssize_t rc = sendfile(sock, file, &offset, <size_t>n)
    m.n = max(rc, 0)
    m.error = 0
    if rc < 0:
        m.error = -errno
    elif rc == 0:
        m.error = -ENODATA
    elif rc < n:
        m.error = -EAGAIN
    return m


cdef inline Moved move_copy(
    char* scratch, int file, int64_t offset, int sock, int64_t n, bint more
) noexcept nogil:
    """Through memory. ``scratch`` has ``n`` bytes. On a file system that does not know
    RWF_NOWAIT every read may wait for a disk."""
    cdef Moved m
    cdef iovec v
    cdef ssize_t got, sent
    v.iov_base = scratch
    v.iov_len = <size_t>n
    m.n = 0
    m.error = 0
    got = preadv2(file, &v, 1, offset, RWF_NOWAIT)
    if got <= 0:
        m.error = -errno if got < 0 else -ENODATA
        if m.error in (-EAGAIN, -EOPNOTSUPP):
            m.error = -ENOBUFS
        return m
    sent = send(
        sock, scratch, <size_t>got,
        MSG_DONTWAIT | MSG_NOSIGNAL | (MSG_MORE if more else 0))
    if sent < 0:
        m.error = -errno
        return m
    m.n = sent
    if sent < got:
        m.error = -EAGAIN
    return m
