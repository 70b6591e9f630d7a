"""Client ids that come in a header: what is accepted, and whose row it names.

An id has 1 to CLIENT_ID_BYTES_MAX bytes of UTF-8 that can be printed, as ``str``
means it: what would move a terminal's cursor or turn the direction of text is none,
and whatever is accepted here Python can name, too. One that spells an address names
the same row as the connections from there, as everywhere.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from c_crypto cimport SHA256
from c_socket cimport AF_INET, AF_INET6, inet_pton
from c_unicode cimport unicode_is_printable
from clients cimport key_from_v4, key_from_v6
from keymap cimport KEY_NAME, Key, key_zero
from limits cimport CLIENT_ID_BYTES_MAX
from text cimport Text


cdef enum:
    # The longest address in text, IPv4 at its end, has 45 bytes.
    SPELLED_ADDRESS_BYTES = 45
    V6_SUFFIX_BYTES = 3   # "/64"
    UTF8_INVALID = 0xFFFFFFFF


cdef inline int utf8_length(uint8_t first) noexcept nogil:
    """Bytes of the character that ``first`` begins; 0: it begins none."""
    if first < 0x80:
        return 1
    if 0xC2 <= first <= 0xDF:
        return 2
    if 0xE0 <= first <= 0xEF:
        return 3
    return 4 if 0xF0 <= first <= 0xF4 else 0


cdef inline uint32_t utf8_read(const uint8_t* s, size_t n, int* used) noexcept nogil:
    """The character that ``s`` begins with (RFC 3629), or UTF8_INVALID."""
    cdef uint32_t least[5]
    cdef uint32_t c
    cdef int i
    cdef int bytes = utf8_length(s[0])
    if bytes == 0 or n < <size_t>bytes:
        return UTF8_INVALID
    used[0] = bytes
    if bytes == 1:
        return s[0]
    least[2] = 0x80
    least[3] = 0x800
    least[4] = 0x10000
    c = s[0] & (0xFF >> (bytes + 1))
    for i in range(1, bytes):
        if s[i] & 0xC0 != 0x80:
            return UTF8_INVALID
        c = c << 6 | (s[i] & 0x3F)
    if c < least[bytes] or 0xD800 <= c <= 0xDFFF or c > 0x10FFFF:
        return UTF8_INVALID
    return c


cdef inline bint clientid_is_reserved(Text t) noexcept nogil:
    """Names that metrics and the list of clients give to others."""
    return (
        (t.n == 5 and memcmp(t.at, b"other", 5) == 0)
        or (t.n == 10 and memcmp(t.at, b"(overflow)", 10) == 0))


cdef inline bint clientid_is_usable(Text t) noexcept nogil:
    """False for an absent one, too."""
    cdef size_t at = 0
    cdef int used = 0
    cdef uint32_t c
    if t.at == NULL or not 1 <= t.n <= CLIENT_ID_BYTES_MAX:
        return False
    while at < t.n:
        c = utf8_read(<const uint8_t*>t.at + at, t.n - at, &used)
        if c == UTF8_INVALID or not unicode_is_printable(c):
            return False
        at += <size_t>used
    return not clientid_is_reserved(t)


cdef inline bint clientid_spells_address(Text t, Key* key) noexcept nogil:
    """``192.0.2.7``, ``2001:db8::1`` or ``2001:db8::/64``."""
    cdef char text[SPELLED_ADDRESS_BYTES + 1]
    cdef uint8_t address[16]
    cdef size_t n = t.n
    if n > V6_SUFFIX_BYTES and memcmp(t.at + n - V6_SUFFIX_BYTES, b"/64", 3) == 0:
        n -= V6_SUFFIX_BYTES
    if n > SPELLED_ADDRESS_BYTES:
        return False
    memcpy(text, t.at, n)
    text[n] = 0
    if n == t.n and inet_pton(AF_INET, text, address) == 1:
        key_from_v4(key, address)
        return True
    if inet_pton(AF_INET6, text, address) == 1:
        key_from_v6(key, address)
        return True
    return False


cdef inline void clientid_key(Text t, Key* key) noexcept nogil:
    """The key of a usable id: that of the address which it spells, or its SHA-256."""
    if clientid_spells_address(t, key):
        return
    key_zero(key, KEY_NAME)
    SHA256(<const unsigned char*>t.at, t.n, key.bytes)
