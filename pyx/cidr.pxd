"""Cidr: which of many networks an address lies in; the longest prefix wins.

All addresses have 128 bits: a v4 address is its v4-mapped one (RFC 4291 section
2.5.5.2). Networks either nest or are disjoint (RFC 4632 section 3.1), so that they cut
the line of all addresses into at most 2n + 1 pieces of one answer each. A table is the
sorted list of where these begin, and a look-up a binary search: 14 steps for 10,000
networks. A table never changes once it is built, so that any thread may read it.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy


cdef enum:
    CIDR_NONE = 0xFFFFFFFF   # the answer outside of all networks
    CIDR_PREFIX_MAX = 128
    ADDRESS_BYTES = 16

cdef extern from *:
    """
    #define HIGHEST_U64 UINT64_MAX
    """
    const uint64_t HIGHEST_U64
    uint64_t big_endian "__builtin_bswap64" (uint64_t x) nogil

cdef struct Address:
    uint64_t high
    uint64_t low

cdef struct Network:
    Address first            # the bits behind the prefix are 0
    uint32_t value           # the answer for its addresses
    uint8_t prefix           # of 128 bits; a v4 prefix and 96

cdef struct CidrEdge:
    Address first            # from here up to the next edge
    uint32_t value

cdef struct Cidr:
    CidrEdge* edges          # the first is address 0; NULL: there are no networks
    uint32_t n

cdef struct CidrBuild:
    Cidr* table
    Network open[CIDR_PREFIX_MAX + 1]   # that nest, outermost first
    uint32_t depth


cdef inline Address address_read(const uint8_t* bytes) noexcept nogil:
    """From 16 bytes in network order."""
    cdef Address a
    memcpy(&a.high, bytes, 8)
    memcpy(&a.low, bytes + 8, 8)
    a.high = big_endian(a.high)
    a.low = big_endian(a.low)
    return a


cdef inline bint address_below(Address a, Address b) noexcept nogil:
    return a.high < b.high or (a.high == b.high and a.low < b.low)


cdef inline uint64_t bits_behind(uint32_t prefix) noexcept nogil:
    """Of a word: those that a prefix of so many bits, 0 to 64, leaves."""
    return 0 if prefix >= 64 else HIGHEST_U64 >> prefix


cdef inline Address network_last(const Network* net) noexcept nogil:
    cdef Address a = net.first
    a.high |= bits_behind(net.prefix)
    a.low |= bits_behind(net.prefix - 64 if net.prefix > 64 else 0)
    return a


cdef inline void cidr_edge(Cidr* t, Address first, uint32_t value) noexcept nogil:
    """From ``first`` on the answer is ``value``; not below the edge before."""
    cdef CidrEdge* last
    if t.n:
        last = &t.edges[t.n - 1]
        if last.first.high == first.high and last.first.low == first.low:
            last.value = value
            return
    t.edges[t.n].first = first
    t.edges[t.n].value = value
    t.n += 1


cdef inline void cidr_close(CidrBuild* b) noexcept nogil:
    """The innermost open network ends: what is around it goes on."""
    cdef Address after = network_last(&b.open[b.depth - 1])
    b.depth -= 1
    after.low += 1
    if after.low == 0:
        after.high += 1
        if after.high == 0:
            return  # it reached the end of all addresses
    cidr_edge(
        b.table, after, b.open[b.depth - 1].value if b.depth else <uint32_t>CIDR_NONE)


cdef inline void cidr_open(CidrBuild* b, const Network* net) noexcept nogil:
    while b.depth and address_below(
            network_last(&b.open[b.depth - 1]), net.first):
        cidr_close(b)
    b.open[b.depth] = net[0]
    b.depth += 1
    cidr_edge(b.table, net.first, net.value)


cdef inline int cidr_init(
    Cidr* t, const Network* sorted_networks, uint32_t n
) noexcept nogil:
    """Build from networks in the order of (first, prefix), none of them twice; -ENOMEM
    when there is no memory."""
    cdef CidrBuild b
    cdef Address zero
    cdef uint32_t i
    t.n = 0
    t.edges = NULL
    if n == 0:
        return 0
    t.edges = <CidrEdge*>calloc(2 * <size_t>n + 1, sizeof(CidrEdge))
    if t.edges == NULL:
        return -ENOMEM
    b.table = t
    b.depth = 0
    zero.high = zero.low = 0
    cidr_edge(t, zero, CIDR_NONE)
    for i in range(n):
        cidr_open(&b, &sorted_networks[i])
    while b.depth:
        cidr_close(&b)
    return 0


cdef inline void cidr_free(Cidr* t) noexcept nogil:
    free(t.edges)
    t.edges = NULL
    t.n = 0


cdef inline uint32_t cidr_find(const Cidr* t, const uint8_t* address) noexcept nogil:
    """The value of the longest prefix that holds ``address`` (16 bytes in network
    order), or CIDR_NONE. Any thread."""
    cdef Address a
    cdef uint32_t low = 0
    cdef uint32_t high = t.n
    cdef uint32_t middle
    if t.n == 0:
        return CIDR_NONE
    a = address_read(address)
    while high - low > 1:
        middle = low + (high - low) // 2
        if address_below(a, t.edges[middle].first):
            high = middle
        else:
            low = middle
    return t.edges[low].value
