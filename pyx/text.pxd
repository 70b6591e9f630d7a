"""Text: a borrowed piece of memory; the owner outlives it."""


cdef struct Text:
    const char* at   # NULL: absent, which is not the same as empty
    size_t n


cdef inline char ascii_lower(char c) noexcept nogil:
    return c + 32 if c'A' <= c <= c'Z' else c


cdef inline bint is_ows(char c) noexcept nogil:
    """Optional white space (RFC 9110 section 5.6.3)."""
    return c == c' ' or c == c'\t'


cdef inline bint text_is_ci(Text t, const char* lower, size_t n) noexcept nogil:
    """Equal without regard to ASCII case; ``lower`` is in lower case. Absent: never."""
    cdef size_t i
    if t.at == NULL or t.n != n:
        return False
    for i in range(n):
        if ascii_lower(t.at[i]) != lower[i]:
            return False
    return True


cdef inline Text text_trim(Text t) noexcept nogil:
    """Without optional white space around it; absent stays absent."""
    while t.n and is_ows(t.at[0]):
        t.at += 1
        t.n -= 1
    while t.n and is_ows(t.at[t.n - 1]):
        t.n -= 1
    return t


cdef inline Text list_next(Text list, size_t* at) noexcept nogil:
    """The element of a comma-separated list at ``at``, trimmed; absent at its end.

    Not for lists whose elements are quoted strings, which may hold commas.
    """
    cdef Text element
    cdef size_t start
    element.at = NULL
    element.n = 0
    start = list_skip(list.at, list.n, at[0])
    at[0] = start
    while at[0] < list.n and list.at[at[0]] != c',':
        at[0] += 1
    if at[0] > start:
        element.at = list.at + start
        element.n = at[0] - start
    return text_trim(element)


cdef inline bint list_has_token(Text list, const char* lower, size_t n) noexcept nogil:
    """Whether one element is ``lower``, without regard to ASCII case."""
    cdef size_t at = 0
    cdef Text element = list_next(list, &at)
    while element.at != NULL:
        if text_is_ci(element, lower, n):
            return True
        element = list_next(list, &at)
    return False


cdef inline size_t list_skip(const char* s, size_t n, size_t at) noexcept nogil:
    """Where the next element of a list begins: past white space, commas and the empty
    elements between them, which recipients must tolerate (RFC 9110 section 5.6.1)."""
    while at < n and (is_ows(s[at]) or s[at] == c','):
        at += 1
    return at
