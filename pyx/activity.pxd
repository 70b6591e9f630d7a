"""Activity: which rows of the client table something happened to lately.

One bit for each row. Engines set it, without a lock and mostly without a write: it is
looked at first. The control pass takes whole words. So what a pass costs depends on who
is active; a hundred thousand idle rows are 1,600 words.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from c_atomic cimport atomic_load_u64, atomic_or_u64, atomic_swap_u64
from mapping cimport mapping_free, mapping_new


cdef enum:
    ACTIVITY_WORD_BITS = 64

cdef struct Activity:
    uint64_t* words
    uint32_t words_n


cdef inline int activity_init(Activity* a, uint32_t rows) noexcept nogil:
    a.words_n = (rows + ACTIVITY_WORD_BITS - 1) // ACTIVITY_WORD_BITS
    a.words = <uint64_t*>mapping_new(sizeof(uint64_t) * a.words_n)
    return 0 if a.words != NULL else -ENOMEM


cdef inline void activity_free(Activity* a) noexcept nogil:
    mapping_free(a.words, sizeof(uint64_t) * a.words_n)
    a.words = NULL


cdef inline void activity_mark(Activity* a, uint32_t row) noexcept nogil:
    cdef uint64_t* word = &a.words[row // ACTIVITY_WORD_BITS]
    cdef uint64_t bit = <uint64_t>1 << (row % ACTIVITY_WORD_BITS)
    if not atomic_load_u64(word) & bit:
        atomic_or_u64(word, bit)


cdef inline bint activity_has(const Activity* a, uint32_t row) noexcept nogil:
    cdef uint64_t word = atomic_load_u64(&a.words[row // ACTIVITY_WORD_BITS])
    return word >> (row % ACTIVITY_WORD_BITS) & 1


cdef inline void activity_mark_all(
    Activity* a, uint32_t word, uint64_t bits
) noexcept nogil:
    """Those of one word."""
    if bits:
        atomic_or_u64(&a.words[word], bits)


cdef inline uint64_t activity_take(Activity* a, uint32_t word) noexcept nogil:
    """The bits of ``ACTIVITY_WORD_BITS`` rows, which are clear afterwards."""
    if not atomic_load_u64(&a.words[word]):
        return 0
    return atomic_swap_u64(&a.words[word], 0)
