"""Slab: equal slots with generations over lazily touched mappings.

A slot keeps its memory for ever, so a stale index is harmless to look at, and its
generation tells that it is stale. Generations are odd while the slot is taken. Reuse is
last-in first-out and new slots are opened only when no old one is free, so that the
pages touched stay as few as the most slots that were taken at once.
"""

from libc.errno cimport ENOMEM, ENOSPC
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from c_assert cimport ENGINE_ASSERT
from mapping cimport mapping_free, mapping_new, mapping_new_dense


cdef struct Slab:
    char* base               # capacity x item_bytes
    uint32_t* links          # of a free slot: the next free one, plus one
    uint32_t* generations
    uint32_t item_bytes
    uint32_t capacity
    uint32_t used            # slots taken
    uint32_t fresh           # slots from here on were never taken
    uint32_t free            # first free slot below ``fresh``, plus one; 0: none


cdef inline void slab_free(Slab* s) noexcept nogil:
    mapping_free(s.base, <size_t>s.capacity * s.item_bytes)
    mapping_free(s.links, <size_t>s.capacity * sizeof(uint32_t))
    mapping_free(s.generations, <size_t>s.capacity * sizeof(uint32_t))
    s.base = NULL
    s.links = s.generations = NULL


cdef inline int slab_init(
    Slab* s, uint32_t capacity, uint32_t item_bytes
) noexcept nogil:
    memset(s, 0, sizeof(Slab))
    s.capacity = capacity
    s.item_bytes = (item_bytes + 63) & ~<uint32_t>63  # of cache lines
    s.base = <char*>mapping_new_dense(<size_t>capacity * s.item_bytes)
    s.links = <uint32_t*>mapping_new(<size_t>capacity * sizeof(uint32_t))
    s.generations = <uint32_t*>mapping_new(<size_t>capacity * sizeof(uint32_t))
    if s.base == NULL or s.links == NULL or s.generations == NULL:
        slab_free(s)
        return -ENOMEM
    return 0


cdef inline void* slab_at(Slab* s, uint32_t index) noexcept nogil:
    return s.base + <size_t>index * s.item_bytes


cdef inline int64_t slab_take(Slab* s) noexcept nogil:
    """Index of a zeroed slot, or -ENOSPC."""
    cdef uint32_t index
    if s.free:
        index = s.free - 1
        s.free = s.links[index]
    elif s.fresh < s.capacity:
        index = s.fresh
        s.fresh += 1
    else:
        return -ENOSPC
    s.generations[index] += 1
    s.used += 1
    memset(slab_at(s, index), 0, s.item_bytes)
    return index


cdef inline uint32_t slab_generation(Slab* s, uint32_t index) noexcept nogil:
    return s.generations[index]


cdef inline bint slab_live(
    Slab* s, uint32_t index, uint32_t generation
) noexcept nogil:
    """Whether the slot is still taken by whom ``generation`` names."""
    return (
        index < s.fresh and generation & 1 and s.generations[index] == generation)


cdef inline void slab_release(Slab* s, uint32_t index) noexcept nogil:
    ENGINE_ASSERT(s.generations[index] & 1)
    s.generations[index] += 1
    s.links[index] = s.free
    s.free = index + 1
    s.used -= 1
