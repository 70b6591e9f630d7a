"""Image: the whole 200 response of a small file, head and body, in one piece.

Sent as it is, so one SEND from one address serves a request. Its bytes never change
while a SEND may still read them: a new Date goes into a copy unless only the cache
holds the image.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from httpdate cimport HTTPDATE_BYTES


cdef struct Image:
    int64_t date_s      # the second that the Date field names
    size_t head_n       # head, the blank line included
    size_t body_n
    uint32_t refs       # the cache's own, and one per transfer
    uint32_t date_at    # offset of the Date value
    char bytes[1]       # head_n + body_n


cdef inline Image* image_new(size_t head_n, size_t body_n) noexcept nogil:
    """With one reference; NULL without memory."""
    cdef Image* i = <Image*>malloc(sizeof(Image) + head_n + body_n)
    if i == NULL:
        return NULL
    i.refs = 1
    i.date_s = 0
    i.date_at = 0
    i.head_n = head_n
    i.body_n = body_n
    return i


cdef inline const char* image_body(const Image* i) noexcept nogil:
    return &i.bytes[i.head_n]


cdef inline void image_unref(Image* i) noexcept nogil:
    i.refs -= 1
    if i.refs == 0:
        free(i)


cdef inline Image* image_dated(
    Image* i, int64_t date_s, const char* date
) noexcept nogil:
    """``i``, or a copy that replaces it, that names the current second.

    Takes over the caller's reference. Without memory for a copy the image stays as it
    is: a Date that is late is allowed (RFC 9110 section 6.6.1).
    """
    cdef Image* copy = i
    if i.date_s == date_s:
        return i
    if i.refs > 1:
        copy = image_new(i.head_n, i.body_n)
        if copy == NULL:
            return i
        memcpy(copy.bytes, i.bytes, i.head_n + i.body_n)
        copy.date_at = i.date_at
        image_unref(i)
    memcpy(&copy.bytes[copy.date_at], date, HTTPDATE_BYTES)
    copy.date_s = date_s
    return copy
