"""Request target (RFC 9112 section 3.2) to a path below the root, and back.

The path is decoded once and normalised as text, so that what is checked here is what
is opened. Anything two readers could understand differently is refused: an encoded
slash (a name cannot contain one, and proxies disagree on what it means), a path that
climbs above the root, user information in the authority.
"""

from libc.errno cimport EINVAL, ENAMETOOLONG, ENOENT
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

from authority cimport authority_is_valid
from text cimport Text, text_is_ci


cdef extern from *:
    """
    /* What RFC 3986 allows in a path besides letters and digits: pchar and slash. */
    #define TARGET_PLAIN "-._~!$&'()*+,;=:@/"
    #define TARGET_HEX "0123456789ABCDEF"
    """
    const char* TARGET_PLAIN
    const char* TARGET_HEX

cdef enum:
    TARGET_PLAIN_N = 18

cdef struct Target:
    size_t n               # of the decoded path, without the NUL
    bint trailing_slash    # it ended in "/", "/." or "/..": a directory is meant


cdef inline int hex_value(uint8_t c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    c |= 0x20
    if c'a' <= c <= c'f':
        return c - c'a' + 10
    return -1


cdef inline bint target_is_clean(const char* raw, size_t n) noexcept nogil:
    """No control, no space and no fragment: none of them belongs in a target."""
    cdef size_t i
    cdef uint8_t c
    for i in range(n):
        c = <uint8_t>raw[i]
        if c <= 0x20 or c == 0x7f or c == c'#':
            return False
    return True


cdef inline size_t target_scheme(const char* raw, size_t n) noexcept nogil:
    """Length of ``http://`` or ``https://`` at the start; 0: neither is there."""
    cdef Text start
    start.at = raw
    start.n = 7
    if n >= 7 and text_is_ci(start, b"http://", 7):
        return 7
    start.n = 8
    if n >= 8 and text_is_ci(start, b"https://", 8):
        return 8
    return 0


cdef inline int target_path(const char* raw, size_t n, Text* path) noexcept nogil:
    """What is between the authority, if any, and the query; empty after an authority
    means "/" (RFC 9110 section 4.2.3). -EINVAL: neither origin- nor absolute-form."""
    cdef size_t start = 0
    cdef size_t end
    if n == 0 or raw[0] != c'/':
        start = target_scheme(raw, n)
        end = start
        while end < n and raw[end] != c'/' and raw[end] != c'?':
            end += 1
        if start == 0 or end == start or raw[start] == c':':  # no scheme, no host
            return -EINVAL
        path.at = raw + start
        path.n = end - start
        if not authority_is_valid(path[0]):
            return -EINVAL
        start = end
    end = start
    while end < n and raw[end] != c'?':
        end += 1
    path.at = raw + start
    path.n = end - start
    return 0


cdef inline int target_byte(Text* path) noexcept nogil:
    """Take the next byte, decoded; -EINVAL: malformed, a NUL or an encoded slash."""
    cdef int high, low, byte
    if path.at[0] != c'%':
        byte = <uint8_t>path.at[0]
        path.at += 1
        path.n -= 1
        return byte
    if path.n < 3:
        return -EINVAL
    high = hex_value(<uint8_t>path.at[1])
    low = hex_value(<uint8_t>path.at[2])
    byte = high * 16 + low
    if high < 0 or low < 0 or byte == 0 or byte == c'/':
        return -EINVAL
    path.at += 3
    path.n -= 3
    return byte


cdef inline int target_segment(
    Text* path, char* out, size_t cap, size_t* end
) noexcept nogil:
    """Decode up to the next slash or the end of ``path``, to ``out`` at ``end``."""
    cdef int byte
    while path.n and path.at[0] != c'/':
        byte = target_byte(path)
        if byte < 0:
            return byte
        if end[0] + 1 >= cap:
            return -ENAMETOOLONG
        out[end[0]] = <char>byte
        end[0] += 1
    return 0


cdef inline size_t target_parent(const char* out, size_t n) noexcept nogil:
    """Length without the last segment and the slash before it."""
    while n and out[n - 1] != c'/':
        n -= 1
    return n - 1 if n else 0


cdef inline int target_settle(
    const char* out, size_t start, size_t name, size_t* end, bint* directory
) noexcept nogil:
    """Resolve the segment ``out[name:end]``; what was there before ends at ``start``.

    ``directory``: it named none of its own. -EINVAL: it climbs above the root.
    """
    cdef size_t n = end[0] - name
    directory[0] = n <= 2 and memcmp(out + name, b"..", n) == 0
    if not directory[0]:
        return 0
    if n == 2:
        if start == 0:
            return -EINVAL
        start = target_parent(out, start)
    end[0] = start
    return 0


cdef inline bint target_is_hidden(const char* out, size_t n) noexcept nogil:
    """A segment begins with a dot; ``.well-known`` at the root may (RFC 8615)."""
    cdef size_t i = 0
    if n >= 11 and memcmp(out, b".well-known", 11) == 0 and (
            n == 11 or out[11] == c'/'):
        i = 11
    while i < n:
        if out[i] == c'.' and (i == 0 or out[i - 1] == c'/'):
            return True
        i += 1
    return False


cdef inline int target_decode(
    const char* raw, size_t n, char* out, size_t cap, bint show_dotfiles, Target* t
) noexcept nogil:
    """The path of a target in origin-form or absolute-form, relative to the root.

    ``out`` gets it decoded and normalised, with a NUL and without a slash at either
    end; empty means the root. The query is left out. ``cap`` bounds the path also
    before "." and ".." shorten it, and counts the NUL.

    0, or the first of: -EINVAL (no such form, malformed, above the root),
    -ENAMETOOLONG, -ENOENT (a hidden segment and not ``show_dotfiles``).
    """
    cdef Text path
    cdef size_t end = 0
    cdef size_t start, name
    cdef int rc
    if not target_is_clean(raw, n) or target_path(raw, n, &path) < 0:
        return -EINVAL
    if cap == 0:
        return -ENAMETOOLONG
    t.trailing_slash = True
    while path.n:
        path.at += 1  # the slash before the segment
        path.n -= 1
        start = end
        if start and path.n and path.at[0] != c'/':
            if start + 1 >= cap:
                return -ENAMETOOLONG
            out[end] = c'/'
            end += 1
        name = end
        rc = target_segment(&path, out, cap, &end)
        if rc == 0:
            rc = target_settle(out, start, name, &end, &t.trailing_slash)
        if rc < 0:
            return rc
    if not show_dotfiles and target_is_hidden(out, end):
        return -ENOENT
    out[end] = 0
    t.n = end
    return 0


cdef inline bint target_is_plain(uint8_t c) noexcept nogil:
    return (
        c'a' <= c <= c'z' or c'A' <= c <= c'Z' or c'0' <= c <= c'9'
        or memchr(TARGET_PLAIN, c, TARGET_PLAIN_N) != NULL)


cdef inline int target_encode_path(
    const char* path, size_t n, char* out, size_t cap
) noexcept nogil:
    """Percent-encode a decoded path, for a Location field. Returns the length, without
    a NUL, or -ENAMETOOLONG. Only visible ASCII is written, so no field can be split."""
    cdef size_t i
    cdef size_t at = 0
    cdef uint8_t c
    for i in range(n):
        c = <uint8_t>path[i]
        if at + (1 if target_is_plain(c) else 3) > cap:
            return -ENAMETOOLONG
        if target_is_plain(c):
            out[at] = <char>c
            at += 1
            continue
        out[at] = c'%'
        out[at + 1] = TARGET_HEX[c >> 4]
        out[at + 2] = TARGET_HEX[c & 15]
        at += 3
    return <int>at
