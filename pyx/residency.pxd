"""Residency: is a range of a file in the page cache, so that a splice will not block?

The answer can be stale by the time it is used; a wrong one costs one blocked loop, so
it is asked for each piece. Two questions, cheapest honest one first: ``cachestat(2)``
counts the pages (Linux 6.5; EPERM for files that the process could not write), and
``preadv2(RWF_NOWAIT)`` tells of single pages whether they can be read now.
"""

from libc.stdint cimport int64_t

from c_file cimport RWF_NOWAIT, penstock_cached_pages, preadv2
from c_socket cimport iovec


cdef enum:
    PAGE_BYTES = 4096
    # Pages probed in a range when only RWF_NOWAIT answers.
    RESIDENCY_PROBES = 4


cdef inline bint residency_page(int fd, int64_t offset) noexcept nogil:
    cdef char byte
    cdef iovec v
    v.iov_base = &byte
    v.iov_len = 1
    return preadv2(fd, &v, 1, offset, RWF_NOWAIT) == 1


cdef inline bint residency_probe(int fd, int64_t offset, int64_t n) noexcept nogil:
    cdef int i
    for i in range(RESIDENCY_PROBES):
        if not residency_page(fd, offset + i * n // RESIDENCY_PROBES):
            return False
    return True


cdef inline bint residency_hot(int fd, int64_t offset, int64_t n) noexcept nogil:
    """Whether [offset, offset + n), n > 0, can be spliced without a wait for a disk."""
    cdef int64_t first = offset // PAGE_BYTES
    cdef int64_t pages = (offset + n - 1) // PAGE_BYTES - first + 1
    cdef int64_t cached
    if not residency_page(fd, offset + n - 1):
        return False
    cached = penstock_cached_pages(fd, offset, n)
    if cached < 0:
        return residency_probe(fd, offset, n)
    return cached >= pages
