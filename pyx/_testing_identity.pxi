# Wrappers of what tells clients apart: cidr, forwarded, clientid.

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc as identity_calloc, free as identity_free

from cidr cimport (
    CIDR_NONE, Cidr, Network, address_read, cidr_find, cidr_free, cidr_init,
)
from clientid cimport clientid_is_usable, clientid_key
from forwarded cimport (
    FORWARDED_FOUND, FORWARDED_HOPS_MAX, FORWARDED_MALFORMED, FORWARDED_NONE,
    ForwardedResult, forwarded_source,
)
from keymap cimport Key as IdentityKey

FORWARDED_HOPS = FORWARDED_HOPS_MAX
FORWARDED_RESULTS = {
    FORWARDED_FOUND: "found", FORWARDED_NONE: "none",
    FORWARDED_MALFORMED: "malformed"}


cdef class NetworkTable:
    """``networks``: (16 bytes, prefix of 128, value), sorted, each once."""
    cdef Cidr table

    def __cinit__(self, networks):
        cdef uint32_t n = len(networks)
        cdef uint32_t i
        cdef bytes first
        cdef Network* sorted_networks = <Network*>identity_calloc(
            max(n, 1), sizeof(Network))
        for i in range(n):
            first, prefix, value = networks[i]
            sorted_networks[i].first = address_read(<const uint8_t*><char*>first)
            sorted_networks[i].prefix = prefix
            sorted_networks[i].value = value
        if cidr_init(&self.table, sorted_networks, n) < 0:
            raise MemoryError
        identity_free(sorted_networks)

    def __dealloc__(self):
        cidr_free(&self.table)

    def find(self, bytes address):
        cdef Exact memory = exact(address)
        cdef uint32_t value = cidr_find(&self.table, <const uint8_t*>memory.at)
        return None if value == CIDR_NONE else value

    @property
    def edges(self):
        return self.table.n


def forwarded(field, bint bare, NetworkTable proxies):
    """("found" | "none" | "malformed", 16 bytes or None)."""
    cdef Exact memory = optional(field)
    cdef Exact out = Exact(16)
    cdef ForwardedResult result = forwarded_source(
        text_of(memory), bare, &proxies.table, <uint8_t*>out.at)
    return (
        FORWARDED_RESULTS[result],
        out.head(16) if result == FORWARDED_FOUND else None)


def client_id_usable(content):
    cdef Exact memory = optional(content)
    return bool(clientid_is_usable(text_of(memory)))


def client_id_key(bytes content):
    """(kind, 32 bytes)."""
    cdef Exact memory = exact(content)
    cdef IdentityKey key
    clientid_key(text_of(memory), &key)
    return key.kind, (<char*>key.bytes)[:32]
