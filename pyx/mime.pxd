"""Media types by file extension: a sorted table and a binary search."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from text cimport Text, ascii_lower


cdef enum:
    MIME_EXTENSION_BYTES_MAX = 16   # a longer one has no type
    MIME_VALUE_BYTES_MAX = 112

cdef struct MediaType:
    char extension[MIME_EXTENSION_BYTES_MAX]   # lower case, without the dot
    char value[MIME_VALUE_BYTES_MAX]
    uint8_t extension_n
    uint8_t value_n

cdef struct MediaTypes:
    MediaType* items    # ascending by mime_compare, no extension twice
    uint32_t count


cdef inline int mime_compare(
    const char* a, size_t a_n, const char* b, size_t b_n
) noexcept nogil:
    """Negative, 0 or positive: the order of the table, which is that of ``bytes``."""
    cdef int order = memcmp(a, b, min(a_n, b_n))
    if order:
        return order
    return (a_n > b_n) - (a_n < b_n)


cdef inline Text mime_default() noexcept nogil:
    cdef Text t
    t.at = b"application/octet-stream"
    t.n = 24
    return t


cdef inline Text mime_extension(const char* path, size_t n) noexcept nogil:
    """What follows the last dot of the last segment; absent without one.

    Dots that a name begins with hide the file and begin no extension.
    """
    cdef Text extension
    cdef size_t dot = n
    while dot and path[dot - 1] != c'.' and path[dot - 1] != c'/':
        dot -= 1
    extension.at = path + dot
    extension.n = n - dot
    while dot and path[dot - 1] == c'.':
        dot -= 1
    if dot == 0 or path[dot - 1] == c'/':
        extension.at = NULL
        extension.n = 0
    return extension


cdef inline Text mime_search(
    const MediaTypes* m, const char* extension, size_t n
) noexcept nogil:
    """``extension`` is in lower case. The answer lives as long as the table."""
    cdef uint32_t low = 0
    cdef uint32_t high = m.count
    cdef uint32_t middle
    cdef int order
    cdef Text found
    while low < high:
        middle = low + (high - low) // 2
        order = mime_compare(
            extension, n, m.items[middle].extension, m.items[middle].extension_n)
        if order == 0:
            found.at = m.items[middle].value
            found.n = m.items[middle].value_n
            return found
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return mime_default()


cdef inline Text mime_lookup(
    const MediaTypes* m, const char* path, size_t n
) noexcept nogil:
    """The media type of ``path``; application/octet-stream when none is known."""
    cdef char lower[MIME_EXTENSION_BYTES_MAX]
    cdef Text extension = mime_extension(path, n)
    cdef size_t i
    if extension.n > MIME_EXTENSION_BYTES_MAX:
        return mime_default()
    for i in range(extension.n):
        lower[i] = ascii_lower(extension.at[i])
    return mime_search(m, lower, extension.n)
