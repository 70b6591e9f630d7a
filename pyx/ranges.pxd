"""Byte ranges of a request (RFC 9110 sections 14.1 and 14.2).

A request for ranges may cost more than one for the whole file: many parts, each with a
head, or the same bytes again and again. Such a request is served whole instead, which
section 14.2 allows: more specifiers than the caller's bound, more bytes than the file
has, or more than two ranges that overlap another one.
"""

from libc.stdint cimport INT64_MAX, int64_t

from text cimport Text, is_ows, list_skip, text_is_ci


cdef enum:
    RANGES_IGNORE = 0           # send the whole
    RANGES_UNSATISFIABLE = -1   # 416
    RANGES_OVERLAPPING_MAX = 2

cdef struct ByteRange:
    int64_t first
    int64_t last    # inclusive

cdef struct RangeSpec:
    # As written; -1: that number is missing. Not both are.
    int64_t first
    int64_t last    # of a suffix (first < 0): how many bytes


cdef inline int64_t digits_parse(
    const char* s, size_t n, size_t* at
) noexcept nogil:
    """The number at ``at``, which moves past it; -1 without a digit.

    One too large for int64_t counts as INT64_MAX: no file has that many bytes.
    """
    cdef int64_t value = 0
    cdef size_t i = at[0]
    cdef int digit
    if i == n or not c'0' <= s[i] <= c'9':
        return -1
    while i < n and c'0' <= s[i] <= c'9':
        digit = s[i] - c'0'
        if value > (INT64_MAX - digit) // 10:
            value = INT64_MAX
        else:
            value = value * 10 + digit
        i += 1
    at[0] = i
    return value


cdef inline bint range_spec_parse(
    const char* s, size_t n, size_t* at, RangeSpec* spec
) noexcept nogil:
    """One ``first-last``, ``first-`` or ``-suffix`` at ``at``; false: malformed."""
    spec.first = digits_parse(s, n, at)
    if at[0] == n or s[at[0]] != c'-':
        return False
    at[0] += 1
    spec.last = digits_parse(s, n, at)
    if spec.first < 0:
        return spec.last >= 0
    return spec.last < 0 or spec.last >= spec.first


cdef inline bint range_spec_resolve(
    const RangeSpec* spec, int64_t size, ByteRange* out
) noexcept nogil:
    """Clip to a file of ``size`` bytes; false: not satisfiable."""
    if spec.first < 0:
        out.first = size - min(spec.last, size)
        out.last = size - 1
        return spec.last > 0
    out.first = spec.first
    out.last = size - 1 if spec.last < 0 else min(spec.last, size - 1)
    return spec.first < size


cdef inline bint range_overlaps_another(
    const ByteRange* ranges, int n, int i
) noexcept nogil:
    cdef int k
    for k in range(n):
        if (k != i and ranges[k].first <= ranges[i].last
                and ranges[i].first <= ranges[k].last):
            return True
    return False


cdef inline bint ranges_are_wasteful(
    const ByteRange* ranges, int n, int64_t size
) noexcept nogil:
    cdef int i
    cdef int overlapping = 0
    cdef int64_t left = size
    cdef int64_t length
    for i in range(n):
        length = ranges[i].last - ranges[i].first + 1
        if length > left:
            return True
        left -= length
        overlapping += range_overlaps_another(ranges, n, i)
    return overlapping > RANGES_OVERLAPPING_MAX


cdef inline int ranges_list_parse(
    const char* s, size_t n, int64_t size, ByteRange* out, int max_ranges
) noexcept nogil:
    """As ``ranges_parse``, after the unit and before the question of waste."""
    cdef RangeSpec spec
    cdef int specs = 0
    cdef int count = 0
    cdef size_t at = list_skip(s, n, 0)
    while at < n:
        if specs == max_ranges or not range_spec_parse(s, n, &at, &spec):
            return RANGES_IGNORE
        specs += 1
        count += range_spec_resolve(&spec, size, &out[count])
        while at < n and is_ows(s[at]):
            at += 1
        if at < n and s[at] != c',':
            return RANGES_IGNORE
        at = list_skip(s, n, at)
    if count == 0:
        return RANGES_UNSATISFIABLE if specs else RANGES_IGNORE
    return count


cdef inline int ranges_parse(
    const char* s, size_t n, int64_t size, ByteRange* out, int max_ranges
) noexcept nogil:
    """The ranges that a Range field's value asks of a file of ``size`` bytes.

    Returns how many of ``out`` (room for ``max_ranges``) were filled, in the order
    asked for and clipped to the file; RANGES_IGNORE when the unit is not bytes, the
    value is malformed or the request is wasteful; RANGES_UNSATISFIABLE when no range
    names a byte of the file. A suffix of an empty file is satisfiable by section
    14.1.2, but no Content-Range can express it: RANGES_IGNORE.
    """
    cdef Text unit
    cdef int count
    unit.at = s
    unit.n = 6
    if n < 6 or not text_is_ci(unit, b"bytes=", 6):
        return RANGES_IGNORE
    count = ranges_list_parse(s + 6, n - 6, size, out, max_ranges)
    if count > 0 and size == 0:
        return RANGES_IGNORE
    if count > 1 and ranges_are_wasteful(out, count, size):
        return RANGES_IGNORE
    return count
