"""Blocks: the bounded pool of aligned memory from which large pieces of bodies are
written past the page cache.

A block is out only while there is something in it, so that a few do for many clients.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from c_assert cimport ENGINE_ASSERT
from limits cimport BLOCK_BYTES, BLOCKS_MAX
from mapping cimport mapping_free, mapping_new_huge


cdef struct Blocks:
    char* base
    uint8_t free[BLOCKS_MAX]   # a stack
    uint32_t free_n


cdef inline int blocks_init(Blocks* b, bint wanted) noexcept nogil:
    """Untouched blocks cost nothing."""
    cdef uint32_t i
    memset(b, 0, sizeof(Blocks))
    if not wanted:
        return 0
    b.base = <char*>mapping_new_huge(<size_t>BLOCKS_MAX * BLOCK_BYTES)
    if b.base == NULL:
        return -ENOMEM
    for i in range(BLOCKS_MAX):
        b.free[i] = <uint8_t>i
    b.free_n = BLOCKS_MAX
    return 0


cdef inline void blocks_free(Blocks* b) noexcept nogil:
    mapping_free(b.base, <size_t>BLOCKS_MAX * BLOCK_BYTES)
    b.base = NULL
    b.free_n = 0


cdef inline char* blocks_take(Blocks* b) noexcept nogil:
    """NULL when all are out."""
    if b.free_n == 0:
        return NULL
    b.free_n -= 1
    return b.base + <size_t>b.free[b.free_n] * BLOCK_BYTES


cdef inline void blocks_give(Blocks* b, const char* block) noexcept nogil:
    ENGINE_ASSERT(b.free_n < <uint32_t>BLOCKS_MAX)
    b.free[b.free_n] = <uint8_t>(<size_t>(block - b.base) // BLOCK_BYTES)
    b.free_n += 1


cdef inline uint32_t blocks_used(const Blocks* b) noexcept nogil:
    return 0 if b.base == NULL else BLOCKS_MAX - b.free_n
