"""Writer: bounded appending to a piece of memory.

Writing past the end writes nothing more and sets ``full``; the caller checks once.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, strlen

from text cimport Text


cdef struct Writer:
    char* start
    char* at
    char* end
    bint full      # something did not fit


cdef inline void writer_init(Writer* w, char* memory, size_t n) noexcept nogil:
    w.start = w.at = memory
    w.end = memory + n
    w.full = False


cdef inline size_t writer_count(const Writer* w) noexcept nogil:
    return <size_t>(w.at - w.start)


cdef inline void writer_bytes(Writer* w, const char* s, size_t n) noexcept nogil:
    if <size_t>(w.end - w.at) < n:
        w.full = True
        return
    memcpy(w.at, s, n)
    w.at += n


cdef inline void writer_string(Writer* w, const char* s) noexcept nogil:
    writer_bytes(w, s, strlen(s))


cdef inline void writer_text(Writer* w, Text t) noexcept nogil:
    writer_bytes(w, t.at, t.n)


cdef inline void writer_u64(Writer* w, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int i = 20
    while True:
        i -= 1
        digits[i] = <char>(48 + value % 10)
        value //= 10
        if value == 0:
            break
    writer_bytes(w, &digits[i], 20 - i)


cdef inline char hex_digit(uint64_t value) noexcept nogil:
    """``value`` below 16. Indexing a literal would check its bounds, with the GIL."""
    return <char>(c'0' + value if value < 10 else c'a' + value - 10)


cdef inline void writer_hex(Writer* w, uint64_t value) noexcept nogil:
    cdef char digits[16]
    cdef int i = 16
    while True:
        i -= 1
        digits[i] = hex_digit(value & 15)
        value >>= 4
        if value == 0:
            break
    writer_bytes(w, &digits[i], 16 - i)
