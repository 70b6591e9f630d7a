"""Writes one buffer to a file, by calls of write(2) or by one splice from a pipe.

Compiled, because an interpreter's own cost for each of 256 calls would be charged to
write(2). Each function returns nanoseconds and system calls, and begins its clock when
the file is open, empty and at offset 0, and the pipe holds the data already.
"""

from libc.errno cimport errno
from libc.stdint cimport int64_t
from libc.string cimport memset

from c_time cimport clock_monotonic_ns


cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <liburing.h>
    #include <sys/uio.h>
    #include <unistd.h>

    static inline ssize_t blocks_gift(int pipe, void *data, size_t n) {
        struct iovec vector = {data, n};
        return vmsplice(pipe, &vector, 1, 0);
    }
    """
    struct io_uring:
        pass
    struct io_uring_sqe:
        pass
    struct io_uring_cqe:
        int res
    ssize_t write(int fd, const void* data, size_t n)
    ssize_t splice(
        int source, void* source_at, int to, void* to_at, size_t n, unsigned int flags)
    ssize_t blocks_gift(int pipe, void* data, size_t n)
    int fdatasync(int fd)
    unsigned int IOSQE_IO_LINK, IORING_FSYNC_DATASYNC
    int io_uring_queue_init(unsigned int entries, io_uring* ring, unsigned int flags)
    void io_uring_queue_exit(io_uring* ring)
    io_uring_sqe* io_uring_get_sqe(io_uring* ring)
    void io_uring_prep_splice(
        io_uring_sqe* sqe, int source, int64_t source_at, int to, int64_t to_at,
        unsigned int n, unsigned int flags)
    void io_uring_prep_fsync(io_uring_sqe* sqe, int fd, unsigned int flags)
    void io_uring_sqe_set_flags(io_uring_sqe* sqe, unsigned int flags)
    int io_uring_submit_and_wait(io_uring* ring, unsigned int n)
    int io_uring_wait_cqe(io_uring* ring, io_uring_cqe** cqe)
    void io_uring_cqe_seen(io_uring* ring, io_uring_cqe* cqe)


cdef int64_t synced(int fd, int64_t calls, bint sync) noexcept nogil:
    """``calls`` and what flushes them, or -1."""
    if not sync:
        return calls
    return -1 if fdatasync(fd) < 0 else calls + 1


cdef int64_t write_all(
    int fd, const unsigned char* data, size_t n, size_t block, bint sync
) noexcept nogil:
    """Calls made, or -1."""
    cdef size_t done = 0
    cdef int64_t calls = 0
    cdef ssize_t wrote
    while done < n:
        wrote = write(fd, data + done, min(block, n - done))
        if wrote <= 0:
            return -1
        done += <size_t>wrote
        calls += 1
    return synced(fd, calls, sync)


cdef int64_t splice_all(int source, int to, size_t n, bint sync) noexcept nogil:
    """Calls made, or -1."""
    cdef size_t done = 0
    cdef int64_t calls = 0
    cdef ssize_t moved
    while done < n:
        moved = splice(source, NULL, to, NULL, n - done, 0)
        if moved <= 0:
            return -1
        done += <size_t>moved
        calls += 1
    return synced(to, calls, sync)


cdef void prepare_submission(
    io_uring* ring, int source, int to, size_t n, bint sync
) noexcept nogil:
    cdef io_uring_sqe* sqe = io_uring_get_sqe(ring)
    io_uring_prep_splice(sqe, source, -1, to, 0, <unsigned int>n, 0)
    if sync:
        io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK)
        io_uring_prep_fsync(io_uring_get_sqe(ring), to, IORING_FSYNC_DATASYNC)


cdef int64_t submit_all(
    io_uring* ring, int source, int to, size_t n, bint sync
) noexcept nogil:
    """One submission of a SPLICE, and a linked FSYNC: 1, or -1 (a short splice, too,
    which would break the link)."""
    cdef unsigned int entries = 2 if sync else 1
    cdef unsigned int i
    cdef io_uring_cqe* cqe
    cdef int result
    prepare_submission(ring, source, to, n, sync)
    if io_uring_submit_and_wait(ring, entries) < 0:
        return -1
    for i in range(entries):
        if io_uring_wait_cqe(ring, &cqe) < 0:
            return -1
        result = cqe.res
        io_uring_cqe_seen(ring, cqe)
        if result != (<int>n if i == 0 else 0):
            return -1
    return 1


def fill(int pipe, const unsigned char[::1] data):
    """Put the pages of ``data`` into the pipe without a copy (vmsplice(2)).

    Raises:
        OSError: the pipe is too small for all of them, or was not empty.
    """
    cdef ssize_t n = blocks_gift(pipe, <void*>&data[0], len(data))
    if n != len(data):
        raise OSError(errno, f"the pipe took {n} of {len(data)} bytes")


def write_blocks(int fd, const unsigned char[::1] data, size_t block, bint sync):
    """By write(2), ``block`` bytes each; ``sync`` ends with one fdatasync(2).

    Raises:
        OSError: a call failed.
    """
    cdef int64_t before_ns = clock_monotonic_ns()
    cdef int64_t calls
    with nogil:
        calls = write_all(fd, &data[0], len(data), block, sync)
    if calls < 0:
        raise OSError(errno, "write")
    return clock_monotonic_ns() - before_ns, calls


def splice_pipe(int pipe, int fd, size_t n_bytes, bint sync):
    """By splice(2), as few calls as the kernel lets it be.

    Raises:
        OSError: a call failed.
    """
    cdef int64_t before_ns = clock_monotonic_ns()
    cdef int64_t calls
    with nogil:
        calls = splice_all(pipe, fd, n_bytes, sync)
    if calls < 0:
        raise OSError(errno, "splice")
    return clock_monotonic_ns() - before_ns, calls


cdef class Uring:
    """A ring of io_uring that is set up before any clock starts."""
    cdef io_uring ring
    cdef bint ready

    def __cinit__(self):
        cdef int rc
        memset(&self.ring, 0, sizeof(io_uring))
        rc = io_uring_queue_init(4, &self.ring, 0)
        if rc < 0:
            raise OSError(-rc, "io_uring_setup")
        self.ready = True

    def __dealloc__(self):
        if self.ready:
            io_uring_queue_exit(&self.ring)

    def splice_pipe(self, int pipe, int fd, size_t n_bytes, bint sync):
        """One io_uring_enter(2): a SPLICE, with ``sync`` and a FSYNC linked to it.

        Raises:
            OSError: an operation failed or was short.
        """
        cdef int64_t before_ns = clock_monotonic_ns()
        cdef int64_t calls
        with nogil:
            calls = submit_all(&self.ring, pipe, fd, n_bytes, sync)
        if calls < 0:
            raise OSError(errno, "the submission of a splice failed or was short")
        return clock_monotonic_ns() - before_ns, calls
