"""Encodings: the content codings that a sidecar may have, their names and suffixes.

A sidecar is a file beside another, compressed beforehand: ``a.js.br`` holds ``a.js``.
RFC 9110 section 8.4.1 (gzip), RFC 7932 (br), RFC 8878 (zstd).
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp, strlen

from text cimport Text, text_is_ci


cdef enum:  # Encoding
    ENCODING_IDENTITY   # the file itself
    ENCODING_BR
    ENCODING_GZIP
    ENCODING_ZSTD
    ENCODING_COUNT

cdef enum:
    ENCODING_SUFFIX_BYTES_MAX = 4   # ".zst"

cdef extern from *:
    """
    static const char *const encoding_names[] = {"identity", "br", "gzip", "zstd"};
    static const char *const encoding_suffixes[] = {"", ".br", ".gz", ".zst"};
    """
    const char* encoding_names[ENCODING_COUNT]
    const char* encoding_suffixes[ENCODING_COUNT]

cdef struct Encodings:
    # Those whose sidecars are looked for, in the order of the server's preference.
    uint8_t n
    uint8_t order[ENCODING_COUNT]


cdef inline Text encoding_name(uint8_t encoding) noexcept nogil:
    cdef Text t
    t.at = encoding_names[encoding]
    t.n = strlen(t.at)
    return t


cdef inline Text encoding_suffix(uint8_t encoding) noexcept nogil:
    cdef Text t
    t.at = encoding_suffixes[encoding]
    t.n = strlen(t.at)
    return t


cdef inline uint8_t encoding_of(Text token) noexcept nogil:
    """ENCODING_COUNT for one that no sidecar has. "x-gzip" is another name of gzip (RFC
    9110 section 8.4.1.3)."""
    cdef Text name
    cdef uint8_t encoding
    for encoding in range(ENCODING_COUNT):
        name = encoding_name(encoding)
        if text_is_ci(token, name.at, name.n):
            return encoding
    return ENCODING_GZIP if text_is_ci(token, b"x-gzip", 6) else ENCODING_COUNT


cdef inline bint encodings_end(
    const Encodings* e, const char* path, size_t n
) noexcept nogil:
    """Whether ``path`` ends like a sidecar: those have none of their own."""
    cdef Text suffix
    cdef uint8_t i
    for i in range(e.n):
        suffix = encoding_suffix(e.order[i])
        if n > suffix.n and memcmp(path + n - suffix.n, suffix.at, suffix.n) == 0:
            return True
    return False
