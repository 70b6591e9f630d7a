"""Address text: how the address that a row is known by is written.

An IPv4 address as dotted decimal; of an IPv6 address its /64 (RFC 5952): a row is known
by no more of it.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, strlen

from c_socket cimport AF_INET, AF_INET6, inet_ntop


cdef enum:
    # The longest, "xxxx:xxxx:xxxx:xxxx::/64", has 24 bytes; inet_ntop asks for 46.
    ADDRESS_TEXT_BYTES = 50
    ADDRESS_INET6_BYTES = 46
    V4_MAPPED_BYTES = 12     # ::ffff:0:0/96, before the IPv4 address


cdef inline bint address_is_v4(const uint8_t* key) noexcept nogil:
    """Whether it is v4-mapped (RFC 4291 section 2.5.5.2)."""
    cdef int i
    for i in range(V4_MAPPED_BYTES - 2):
        if key[i]:
            return False
    return key[V4_MAPPED_BYTES - 2] == 0xFF and key[V4_MAPPED_BYTES - 1] == 0xFF


cdef inline size_t address_write(const uint8_t* key, char* text) noexcept nogil:
    """The 16 bytes of a row's key as text of so many bytes."""
    cdef size_t n
    if address_is_v4(key):
        inet_ntop(AF_INET, key + V4_MAPPED_BYTES, text, ADDRESS_INET6_BYTES)
        return strlen(text)
    inet_ntop(AF_INET6, key, text, ADDRESS_INET6_BYTES)
    n = strlen(text)
    memcpy(text + n, b"/64", 3)
    return n + 3
