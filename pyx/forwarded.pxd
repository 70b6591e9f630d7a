"""Forwarded (RFC 7239) and X-Forwarded-For: whom a trusted proxy serves.

Both are lists to which each proxy appends whom it serves. So they are read from the
right: the first address that is no trusted proxy is the source. Whatever is further
left was written by somebody who is not trusted, and is not looked at at all: it can
neither be believed nor break anything. What is read must be well-formed; else nothing
of the field counts.

Pure; nothing is allocated. White space is allowed around ``;``, where RFC 7239 has none
but senders do; a node may not hold a quoted pair (``\\x``), which it never needs.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy, memset

from accept_encoding cimport is_token_char
from c_socket cimport AF_INET, AF_INET6, inet_pton
from cidr cimport ADDRESS_BYTES, CIDR_NONE, Cidr, cidr_find
from text cimport Text, is_ows, text_is_ci, text_trim


cdef enum ForwardedResult:
    FORWARDED_FOUND       # a source that is no trusted proxy, or the farthest proxy
    FORWARDED_NONE        # no field, or the source is unknown or hidden
    FORWARDED_MALFORMED

cdef enum NodeKind:
    NODE_ADDRESS
    NODE_HIDDEN           # "unknown", "_anything", or not said
    NODE_MALFORMED

cdef enum:
    # Proxies in a row that are trusted; a longer list is malformed.
    FORWARDED_HOPS_MAX = 32
    # The longest address in text, IPv4 at its end, has 45 bytes.
    NODE_TEXT_BYTES = 45
    PORT_DIGITS_MAX = 5

cdef struct Backward:
    const char* s
    size_t n              # bytes that are left; the rest has been read


cdef inline bint node_address(
    const char* s, size_t n, bint is_v6, uint8_t* out
) noexcept nogil:
    """16 bytes in network order, v4 as v4-mapped; false if it is none."""
    cdef char text[NODE_TEXT_BYTES + 1]
    if n == 0 or n > NODE_TEXT_BYTES or memchr(s, 0, n) != NULL:
        return False
    memcpy(text, s, n)
    text[n] = 0
    if is_v6:
        return inet_pton(AF_INET6, text, out) == 1
    memset(out, 0, ADDRESS_BYTES)
    out[10] = out[11] = 0xFF
    return inet_pton(AF_INET, text, out + 12) == 1


cdef inline bint node_is_obfuscated(const char* s, size_t n) noexcept nogil:
    """RFC 7239 section 6.3: an underscore and letters, digits and ``._-``."""
    cdef size_t i
    if n < 2 or s[0] != c'_':
        return False
    for i in range(1, n):
        if not (c'a' <= s[i] <= c'z' or c'A' <= s[i] <= c'Z' or c'0' <= s[i] <= c'9'
                or s[i] in (c'.', c'_', c'-')):
            return False
    return True


cdef inline bint node_is_port(const char* s, size_t n) noexcept nogil:
    cdef size_t i
    if node_is_obfuscated(s, n):
        return True
    if not 1 <= n <= PORT_DIGITS_MAX:
        return False
    for i in range(n):
        if not c'0' <= s[i] <= c'9':
            return False
    return True


cdef inline NodeKind node_name(
    const char* s, size_t n, uint8_t* out
) noexcept nogil:
    """A name without brackets: an IPv4 address, or one that is hidden."""
    cdef Text name
    name.at = s
    name.n = n
    if text_is_ci(name, b"unknown", 7) or node_is_obfuscated(s, n):
        return NODE_HIDDEN
    return NODE_ADDRESS if node_address(s, n, False, out) else NODE_MALFORMED


cdef inline NodeKind node_read(Text t, uint8_t* out) noexcept nogil:
    """``nodename [":" node-port]`` of RFC 7239 section 6."""
    cdef const char* colon
    cdef const char* bracket
    cdef size_t n = t.n
    if n and t.at[0] == c'[':
        bracket = <const char*>memchr(t.at, c']', n)
        if bracket == NULL:
            return NODE_MALFORMED
        n = <size_t>(bracket - t.at) + 1
        if not node_address(t.at + 1, n - 2, True, out):
            return NODE_MALFORMED
        if n == t.n:
            return NODE_ADDRESS
        if t.at[n] != c':' or not node_is_port(t.at + n + 1, t.n - n - 1):
            return NODE_MALFORMED
        return NODE_ADDRESS
    colon = <const char*>memchr(t.at, c':', n)
    if colon == NULL:
        return node_name(t.at, n, out)
    n = <size_t>(colon - t.at)
    if not node_is_port(colon + 1, t.n - n - 1):
        return NODE_MALFORMED
    return node_name(t.at, n, out)


cdef inline NodeKind node_read_bare(Text t, uint8_t* out) noexcept nogil:
    """As X-Forwarded-For has it: an IPv6 address needs no brackets there."""
    if t.n and t.at[0] != c'[' and node_address(t.at, t.n, True, out):
        return NODE_ADDRESS
    return node_read(t, out)


cdef inline void backward_skip_ows(Backward* b) noexcept nogil:
    while b.n and is_ows(b.s[b.n - 1]):
        b.n -= 1


cdef inline bint backward_is_at(const Backward* b, char c) noexcept nogil:
    return b.n > 0 and b.s[b.n - 1] == c


cdef inline Text backward_token(Backward* b) noexcept nogil:
    """Empty where none ends."""
    cdef Text t
    cdef size_t end = b.n
    while b.n and is_token_char(b.s[b.n - 1]):
        b.n -= 1
    t.at = b.s + b.n
    t.n = end - b.n
    return t


cdef inline bint backward_is_escaped(const Backward* b) noexcept nogil:
    """An odd number of backslashes is before the byte at the end."""
    cdef size_t i = b.n - 1
    while i and b.s[i - 1] == c'\\':
        i -= 1
    return (b.n - 1 - i) % 2 == 1


cdef inline bint is_quotable(char c) noexcept nogil:
    """What a quoted string may hold (RFC 9110 section 5.6.4)."""
    cdef uint8_t u = <uint8_t>c
    return u == 9 or (u >= 32 and u != 127)


cdef inline Text backward_quoted(Backward* b) noexcept nogil:
    """The inside of the quoted string that ends here, as it is written; absent when it
    is none."""
    cdef Text t
    cdef size_t end
    t.at = NULL
    t.n = 0
    if backward_is_escaped(b):
        return t  # such a quote closes nothing
    b.n -= 1
    end = b.n
    while b.n and (b.s[b.n - 1] != c'"' or backward_is_escaped(b)):
        if not is_quotable(b.s[b.n - 1]):
            return t
        b.n -= 1
    if b.n == 0:
        return t
    b.n -= 1
    t.at = b.s + b.n + 1
    t.n = end - b.n - 1
    return t


cdef inline bint backward_pair(
    Backward* b, Text* name, Text* value
) noexcept nogil:
    """``token "=" value``; false if it is none."""
    if backward_is_at(b, c'"'):
        value[0] = backward_quoted(b)
        if value.at == NULL:
            return False
    else:
        value[0] = backward_token(b)
        if value.n == 0:
            return False
    if not backward_is_at(b, c'='):
        return False
    b.n -= 1
    name[0] = backward_token(b)
    return name.n > 0


cdef inline NodeKind backward_element(Backward* b, uint8_t* out) noexcept nogil:
    """The element of Forwarded that ends here, up to the comma before it."""
    cdef Text name, value
    cdef NodeKind kind = NODE_HIDDEN
    cdef bint known = False
    while True:
        backward_skip_ows(b)
        if b.n and not backward_is_at(b, c';') and not backward_is_at(b, c','):
            if not backward_pair(b, &name, &value):
                return NODE_MALFORMED
            if text_is_ci(name, b"for", 3):
                if known:
                    return NODE_MALFORMED  # once in each element (section 4)
                known = True
                kind = node_read(value, out)
            backward_skip_ows(b)
        if not backward_is_at(b, c';'):
            break
        b.n -= 1
    if b.n and not backward_is_at(b, c','):
        return NODE_MALFORMED
    return kind


cdef inline NodeKind backward_bare(Backward* b, uint8_t* out) noexcept nogil:
    """The element of X-Forwarded-For that ends here, up to the comma before it."""
    cdef Text t
    cdef size_t end = b.n
    while b.n and not backward_is_at(b, c','):
        b.n -= 1
    t.at = b.s + b.n
    t.n = end - b.n
    return node_read_bare(text_trim(t), out)


cdef inline void backward_skip_empty(Backward* b) noexcept nogil:
    """Elements without anything, which recipients tolerate (RFC 9110 section 5.6.1)."""
    while b.n and (is_ows(b.s[b.n - 1]) or b.s[b.n - 1] == c','):
        b.n -= 1


cdef inline ForwardedResult forwarded_source(
    Text field, bint bare, const Cidr* proxies, uint8_t* out
) noexcept nogil:
    """Of the lines of one field, joined by commas, the source: the rightmost address
    that is not among ``proxies``, or when all are, the leftmost.

    Args:
        bare: the field is X-Forwarded-For, else it is Forwarded.
        out: 16 bytes in network order, v4 as v4-mapped; only with FORWARDED_FOUND.
    """
    cdef Backward b
    cdef NodeKind kind
    cdef int hops = 0
    if field.at == NULL:
        return FORWARDED_NONE
    b.s = field.at
    b.n = field.n
    backward_skip_empty(&b)
    while b.n:
        if hops == FORWARDED_HOPS_MAX:
            return FORWARDED_MALFORMED
        kind = backward_bare(&b, out) if bare else backward_element(&b, out)
        if kind == NODE_MALFORMED:
            return FORWARDED_MALFORMED
        if kind == NODE_HIDDEN:
            # Nobody knows whether it may be trusted, so nothing further left counts.
            return FORWARDED_NONE
        if cidr_find(proxies, out) == CIDR_NONE:
            return FORWARDED_FOUND
        hops += 1
        backward_skip_empty(&b)
    return FORWARDED_FOUND if hops else FORWARDED_NONE
