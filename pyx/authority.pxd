"""Authority: the value of Host and the middle of an absolute URI, judged as text.

``uri-host [ ":" port ]`` of RFC 9112 section 3.2, by the grammar of RFC 3986 sections
3.2.2 and 3.2.3. User information is not part of it.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from c_socket cimport AF_INET6, in6_addr, inet_pton
from text cimport Text


cdef extern from *:
    """
    #include <stdint.h>
    #define NAME 1   /* unreserved and sub-delims: what a registered name may hold */
    #define HEX  2
    /* Host is looked at in every request: one load a byte. */
    static const uint8_t authority_class[256] = {
        ['!'] = NAME, ['$'] = NAME, ['&'] = NAME, ['\\''] = NAME, ['('] = NAME,
        [')'] = NAME, ['*'] = NAME, ['+'] = NAME, [','] = NAME, ['-'] = NAME,
        ['.'] = NAME, [';'] = NAME, ['='] = NAME, ['_'] = NAME, ['~'] = NAME,
        ['0' ... '9'] = NAME | HEX, ['A' ... 'F'] = NAME | HEX, ['G' ... 'Z'] = NAME,
        ['a' ... 'f'] = NAME | HEX, ['g' ... 'z'] = NAME,
    };
    #undef NAME
    #undef HEX
    """
    const uint8_t authority_class[256]

cdef enum:
    AUTHORITY_NAME = 1
    AUTHORITY_HEX = 2
    # The longest address in text, IPv4 at its end, has 45 bytes.
    AUTHORITY_ADDRESS_BYTES = 45


cdef inline bint authority_is(char c, int kind) noexcept nogil:
    return (authority_class[<uint8_t>c] & kind) != 0


cdef inline size_t authority_name(const char* s, size_t n) noexcept nogil:
    """Length of the registered name (or IPv4 address) that ``s`` begins with."""
    cdef size_t i = 0
    while i < n:
        if authority_is(s[i], AUTHORITY_NAME):
            i += 1
        elif (s[i] == c'%' and n - i > 2 and authority_is(s[i + 1], AUTHORITY_HEX)
                and authority_is(s[i + 2], AUTHORITY_HEX)):
            i += 3
        else:
            break
    return i


cdef inline bint authority_is_ipv6(const char* s, size_t n) noexcept nogil:
    cdef char text[AUTHORITY_ADDRESS_BYTES + 1]
    cdef in6_addr address
    if n > AUTHORITY_ADDRESS_BYTES or memchr(s, 0, n) != NULL:
        return False
    memcpy(text, s, n)
    text[n] = 0
    return inet_pton(AF_INET6, text, &address) == 1


cdef inline bint authority_is_future(const char* s, size_t n) noexcept nogil:
    """``v1.anything``: a later version of addresses."""
    cdef size_t i = 1
    if n == 0 or s[0] | 0x20 != c'v':
        return False
    while i < n and authority_is(s[i], AUTHORITY_HEX):
        i += 1
    if i == 1 or n - i < 2 or s[i] != c'.':
        return False
    i += 1
    while i < n and (authority_is(s[i], AUTHORITY_NAME) or s[i] == c':'):
        i += 1
    return i == n


cdef inline size_t authority_literal(const char* s, size_t n) noexcept nogil:
    """Length of the address in brackets that ``s`` begins with; 0: there is none."""
    cdef const char* end = <const char*>memchr(s, c']', n)
    cdef size_t inner
    if end == NULL:
        return 0
    inner = <size_t>(end - s) - 1
    if not (authority_is_ipv6(s + 1, inner) or authority_is_future(s + 1, inner)):
        return 0
    return inner + 2


cdef inline bint authority_is_valid(Text t) noexcept nogil:
    """The host may be empty, and so may the port after its colon."""
    cdef size_t i
    if t.n and t.at[0] == c'[':
        i = authority_literal(t.at, t.n)
    else:
        i = authority_name(t.at, t.n)
    if i == t.n:
        return True
    if t.at[i] != c':':
        return False
    i += 1
    while i < t.n and c'0' <= t.at[i] <= c'9':
        i += 1
    return i == t.n
