"""Mapping: memory for a table, in full at once, and touched as needed.

Untouched pages cost nothing, so a table is mapped for as many rows as there may be.
"""

from libc.stdint cimport uint32_t

from c_file cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE,
    mmap, munmap,
)

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MADV_HUGEPAGE
    int madvise(void* at, size_t n, int advice)

cdef enum:
    # What a table has in small pages. A small installation stays within it and pays for
    # what it uses; beyond it, steps of a huge page (2 MiB) are at most as much again.
    MAPPING_SMALL_PAGES_BYTES = 2097152


cdef inline uint32_t power_of_two(uint32_t n) noexcept nogil:
    """The least that is not below ``n``: rows of a table that is masked."""
    cdef uint32_t p = 1
    while p < n:
        p <<= 1
    return p


cdef inline void* mapping_new(size_t n_bytes) noexcept nogil:
    """Zeroed and page-aligned; NULL without address space."""
    cdef void* at = mmap(
        NULL, n_bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    return NULL if at == MAP_FAILED else at


cdef inline void* mapping_new_dense(size_t n_bytes) noexcept nogil:
    """As ``mapping_new``, for a table that fills from its begin and is walked at random
    when it is large: huge pages spare a TLB miss each time."""
    cdef char* at = <char*>mapping_new(n_bytes)
    if at != NULL and n_bytes > MAPPING_SMALL_PAGES_BYTES:
        madvise(  # void: only speed
            at + MAPPING_SMALL_PAGES_BYTES, n_bytes - MAPPING_SMALL_PAGES_BYTES,
            MADV_HUGEPAGE)
    return at


cdef inline void* mapping_new_huge(size_t n_bytes) noexcept nogil:
    """As ``mapping_new``, in huge pages where there are some."""
    cdef void* at = mapping_new(n_bytes)
    if at != NULL:
        madvise(at, n_bytes, MADV_HUGEPAGE)  # void: only speed
    return at


cdef inline void mapping_free(void* at, size_t n_bytes) noexcept nogil:
    if at != NULL:
        munmap(at, n_bytes)
