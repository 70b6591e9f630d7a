"""Pool: a bounded stack of equal items over one lazily touched mapping.

Items are handed out last-in first-out and are not cleared, so that the pages touched
stay as few as the most items that were out at once. The first word of a free item
links to the next one.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t

from c_assert cimport ENGINE_ASSERT
from mapping cimport mapping_free, mapping_new, mapping_new_dense


cdef struct Pool:
    char* base            # the mapping
    void* free            # stack of returned items
    size_t item_bytes     # rounded up to a cache line
    uint32_t capacity
    uint32_t fresh        # items never handed out start here
    uint32_t used         # items that are out


cdef inline int pool_init(
    Pool* p, uint32_t capacity, size_t item_bytes, bint dense=False
) noexcept nogil:
    """``dense``: items are small, and those that are out are all used again and again.
    -ENOMEM."""
    cdef size_t n_bytes
    p.item_bytes = (item_bytes + 63) & ~<size_t>63
    p.capacity = capacity
    p.fresh = p.used = 0
    p.free = NULL
    n_bytes = p.item_bytes * capacity
    p.base = <char*>(mapping_new_dense(n_bytes) if dense else mapping_new(n_bytes))
    return 0 if p.base != NULL else -ENOMEM


cdef inline void pool_free(Pool* p) noexcept nogil:
    mapping_free(p.base, p.item_bytes * p.capacity)
    p.base = NULL


cdef inline void* pool_take(Pool* p) noexcept nogil:
    """An item with unspecified content, or NULL when all are out."""
    cdef void* item = p.free
    if item != NULL:
        p.free = (<void**>item)[0]
    elif p.fresh < p.capacity:
        item = p.base + p.item_bytes * p.fresh
        p.fresh += 1
    else:
        return NULL
    p.used += 1
    return item


cdef inline void pool_give(Pool* p, void* item) noexcept nogil:
    ENGINE_ASSERT(p.used > 0)
    (<void**>item)[0] = p.free
    p.free = item
    p.used -= 1
