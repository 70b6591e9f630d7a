"""Delegate: which requests the engine leaves to Python. Pure.

Those of a path, or of what lies below it, that bring something or ask about it: every
method but GET, which downloads. Compared byte by byte before anything is decoded, as
clients got these targets from us.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from c_llhttp cimport HTTP_CONNECT, HTTP_GET, HTTP_TRACE


cdef enum:
    DELEGATES_MAX = 4
    DELEGATE_BYTES_MAX = 63

cdef struct Delegates:
    uint32_t n
    uint32_t path_n[DELEGATES_MAX]
    char path[DELEGATES_MAX][DELEGATE_BYTES_MAX + 1]


cdef inline bint delegate_is_below(
    const char* path, uint32_t path_n, const char* target, uint32_t n
) noexcept nogil:
    """``target`` is ``path``, or goes on with a segment or a query."""
    if n < path_n or memcmp(target, path, path_n) != 0:
        return False
    return n == path_n or target[path_n] == c'/' or target[path_n] == c'?'


cdef inline bint delegate_wants(
    const Delegates* d, uint8_t method, const char* target, uint32_t n
) noexcept nogil:
    cdef uint32_t i
    if method in (HTTP_GET, HTTP_CONNECT, HTTP_TRACE):
        return False
    for i in range(d.n):
        if delegate_is_below(d.path[i], d.path_n[i], target, n):
            return True
    return False
