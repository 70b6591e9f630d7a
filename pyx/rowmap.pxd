"""RowMap: from a key's hash to the rows that may be its own.

Rows come and go, while readers on any thread look up without a lock. So a slot is
one atomic word, half of the hash and the row, and the key itself lies in the row: a
reader holds the row (``Holders``), compares its key, and goes on if it is another's.
Writers hold the table's mutex.

Open addressing, linear probing. What is taken out becomes a grave, which readers pass
and the next key fills; a grave before an empty slot is empty again, since nobody's way
leads past it. So graves last only within runs of live slots, and at a quarter full
these are short, however many keys come and go.
"""

from libc.errno cimport ENOMEM, ENOSPC
from libc.stdint cimport int64_t, uint32_t, uint64_t

from c_atomic cimport atomic_load_i64, atomic_store_i64
from mapping cimport mapping_free, mapping_new, power_of_two


cdef enum:
    ROWMAP_NO_ROW = 0xFFFFFFFF
    ROWMAP_SLOTS_PER_ROW = 4
    ROWMAP_EMPTY = 0
    ROWMAP_GRAVE = 1
    ROWMAP_FIRST = 2        # a slot's lower half: this and the row

cdef struct RowMap:
    int64_t* slots
    uint64_t seed
    uint32_t capacity       # a power of two
    uint32_t used           # live slots

cdef struct RowProbe:
    uint64_t hash
    uint32_t at             # the slot that comes next
    uint32_t left           # slots that were not looked at


cdef inline int rowmap_init(RowMap* m, uint32_t rows, uint64_t seed) noexcept nogil:
    """Slots for ``rows`` keys; -ENOMEM."""
    m.capacity = power_of_two(ROWMAP_SLOTS_PER_ROW * rows)
    m.used = 0
    m.seed = seed
    m.slots = <int64_t*>mapping_new(sizeof(int64_t) * m.capacity)
    return 0 if m.slots != NULL else -ENOMEM


cdef inline void rowmap_free(RowMap* m) noexcept nogil:
    mapping_free(m.slots, sizeof(int64_t) * m.capacity)
    m.slots = NULL


cdef inline int64_t rowmap_word(uint64_t hash, uint32_t row) noexcept nogil:
    return <int64_t>((hash >> 32 << 32) | (row + ROWMAP_FIRST))


cdef inline RowProbe rowmap_begin(const RowMap* m, uint64_t hash) noexcept nogil:
    cdef RowProbe p
    p.hash = hash
    p.at = <uint32_t>hash & (m.capacity - 1)
    p.left = m.capacity
    return p


cdef inline uint32_t rowmap_next(const RowMap* m, RowProbe* p) noexcept nogil:
    """The next row whose key may have this hash, or ROWMAP_NO_ROW. Any thread."""
    cdef uint64_t word
    cdef uint32_t low
    while p.left:
        word = <uint64_t>atomic_load_i64(&m.slots[p.at])
        if word == ROWMAP_EMPTY:
            p.left = 0
            break
        p.at = (p.at + 1) & (m.capacity - 1)
        p.left -= 1
        low = <uint32_t>word
        if low >= ROWMAP_FIRST and word >> 32 == p.hash >> 32:
            return low - ROWMAP_FIRST
    return ROWMAP_NO_ROW


cdef inline int rowmap_put(RowMap* m, uint64_t hash, uint32_t row) noexcept nogil:
    """Bind a key that is not in the map. -ENOSPC at half full. Writers only."""
    cdef uint32_t at = <uint32_t>hash & (m.capacity - 1)
    if m.used >= m.capacity // 2:
        return -ENOSPC
    while m.slots[at] not in (ROWMAP_EMPTY, ROWMAP_GRAVE):
        at = (at + 1) & (m.capacity - 1)
    m.used += 1
    atomic_store_i64(&m.slots[at], rowmap_word(hash, row))
    return 0


cdef inline void rowmap_level(RowMap* m, uint32_t at) noexcept nogil:
    """Empty the graves from ``at`` backwards if what follows is empty."""
    cdef uint32_t mask = m.capacity - 1
    if m.slots[(at + 1) & mask] != ROWMAP_EMPTY:
        return
    while m.slots[at] == ROWMAP_GRAVE:
        atomic_store_i64(&m.slots[at], ROWMAP_EMPTY)
        at = (at - 1) & mask


cdef inline void rowmap_drop(RowMap* m, uint64_t hash, uint32_t row) noexcept nogil:
    """Take out what ``rowmap_put`` bound. Writers only."""
    cdef int64_t word = rowmap_word(hash, row)
    cdef uint32_t at = <uint32_t>hash & (m.capacity - 1)
    cdef uint32_t left = m.capacity
    while left and m.slots[at] != word:
        at = (at + 1) & (m.capacity - 1)
        left -= 1
    if left == 0:
        return
    m.used -= 1
    atomic_store_i64(&m.slots[at], ROWMAP_GRAVE)
    rowmap_level(m, at)


cdef inline uint32_t rowmap_way(const RowMap* m, uint64_t hash) noexcept nogil:
    """Slots that a look-up without success passes. Writers only."""
    cdef uint32_t at = <uint32_t>hash & (m.capacity - 1)
    cdef uint32_t n = 0
    while n < m.capacity and m.slots[at] != ROWMAP_EMPTY:
        at = (at + 1) & (m.capacity - 1)
        n += 1
    return n
