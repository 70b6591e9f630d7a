"""Conditional requests (RFC 9110 section 13): pure decisions about one file.

What cannot be understood fails to the safe side: a malformed list of entity tags ends
where the error is, so If-Match refuses and If-None-Match sends the file.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp

from httpdate cimport HTTPDATE_INVALID, httpdate_parse
from text cimport Text, is_ows, list_skip, text_trim


cdef enum:
    COND_PROCEED = 0
    COND_NOT_MODIFIED = 304
    COND_FAILED = 412

cdef struct Validators:
    # Of the file as it is now.
    Text etag          # with its quotes; absent: matches nothing but "*"
    int64_t mtime_s    # what Last-Modified says

cdef struct Conditions:
    # Values of the request's fields.
    Text if_match
    Text if_none_match
    Text if_modified_since
    Text if_unmodified_since
    Text if_range

cdef struct EntityTag:
    Text opaque    # with its quotes
    bint weak


cdef inline bint is_etag_char(uint8_t c) noexcept nogil:
    return c == 0x21 or 0x23 <= c <= 0x7e or c >= 0x80


cdef inline size_t etag_parse(const char* s, size_t n, EntityTag* e) noexcept nogil:
    """Length of the entity tag that ``s`` begins with; 0: none."""
    cdef size_t start, i
    e.weak = n >= 2 and s[0] == c'W' and s[1] == c'/'
    start = 2 if e.weak else 0
    if start >= n or s[start] != c'"':
        return 0
    i = start + 1
    while i < n and is_etag_char(<uint8_t>s[i]):
        i += 1
    if i == n or s[i] != c'"':
        return 0
    e.opaque.at = s + start
    e.opaque.n = i + 1 - start
    return i + 1


cdef inline bint etag_equal(
    const EntityTag* a, const EntityTag* b, bint strong
) noexcept nogil:
    """Strong or weak comparison (RFC 9110 section 8.8.3.2)."""
    if strong and (a.weak or b.weak):
        return False
    return (
        a.opaque.n == b.opaque.n
        and memcmp(a.opaque.at, b.opaque.at, a.opaque.n) == 0)


cdef inline bint etag_of(const Validators* v, EntityTag* e) noexcept nogil:
    cdef size_t used = 0
    if v.etag.at != NULL:
        used = etag_parse(v.etag.at, v.etag.n, e)
    return used > 0 and used == v.etag.n


cdef inline bint etag_list_has(
    Text list, const EntityTag* wanted, bint strong
) noexcept nogil:
    cdef EntityTag e
    cdef size_t used
    cdef size_t i = 0
    while True:
        i = list_skip(list.at, list.n, i)
        used = etag_parse(list.at + i, list.n - i, &e)
        if used == 0:
            return False
        i += used
        while i < list.n and is_ows(list.at[i]):
            i += 1
        if i < list.n and list.at[i] != c',':
            return False
        if etag_equal(&e, wanted, strong):
            return True


cdef inline bint etags_match(
    Text field, const Validators* v, bint strong
) noexcept nogil:
    """Whether ``field``, "*" or a list of entity tags, names the file as it is now."""
    cdef EntityTag current
    cdef Text list = text_trim(field)
    if list.n == 1 and list.at[0] == c'*':
        return True
    return etag_of(v, &current) and etag_list_has(list, &current, strong)


cdef inline int64_t date_of(Text field, int64_t now_s) noexcept nogil:
    """HTTPDATE_INVALID when absent or not a date."""
    cdef Text date = text_trim(field)
    if date.at == NULL:
        return HTTPDATE_INVALID
    return httpdate_parse(date.at, date.n, now_s)


cdef inline int conditions_evaluate(
    const Conditions* c, const Validators* v, bint get_or_head, int64_t now_s
) noexcept nogil:
    """COND_PROCEED, COND_NOT_MODIFIED or COND_FAILED, in the order of section 13.2.2.

    ``now_s`` gives two-digit years their century. Invalid dates are as if absent.
    """
    cdef int64_t date
    if c.if_match.at != NULL:
        if not etags_match(c.if_match, v, True):
            return COND_FAILED
    else:
        date = date_of(c.if_unmodified_since, now_s)
        if date != HTTPDATE_INVALID and v.mtime_s > date:
            return COND_FAILED
    if c.if_none_match.at != NULL:
        if etags_match(c.if_none_match, v, False):
            return COND_NOT_MODIFIED if get_or_head else COND_FAILED
    elif get_or_head:
        date = date_of(c.if_modified_since, now_s)
        if date != HTTPDATE_INVALID and v.mtime_s <= date:
            return COND_NOT_MODIFIED
    return COND_PROCEED


cdef inline bint conditions_range_applies(
    const Conditions* c, const Validators* v, int64_t now_s
) noexcept nogil:
    """Whether If-Range lets the Range field count; without If-Range it does.

    Reads ``if_range`` only. An entity tag must match strongly; a date must be exactly
    the file's, because an earlier or later one tells of other bytes (section 13.1.5).
    """
    cdef Text field = text_trim(c.if_range)
    cdef EntityTag asked, current
    cdef size_t used
    if field.at == NULL:
        return True
    used = etag_parse(field.at, field.n, &asked)
    if used:
        return (
            used == field.n and etag_of(v, &current)
            and etag_equal(&asked, &current, True))
    return v.mtime_s == date_of(field, now_s)
