"""Identity: how clients are told apart, as one table that never changes.

A configuration makes a new one and puts it in the place of the old. An engine takes the
current one at the begin of each turn of its loop and says that it has (``version``), so
that nobody looks at the old one any more once every engine has.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free

from cidr cimport Cidr, cidr_free
from keymap cimport Key
from limits cimport HEADER_NAME_BYTES_MAX


cdef enum Method:
    METHOD_TOKEN
    METHOD_HEADER
    METHOD_NETWORK
    METHOD_ADDRESS
    METHOD_COUNT

cdef enum ForwardedMode:
    FORWARDED_EITHER     # of the two fields; if both are there they must agree
    FORWARDED_STANDARD   # Forwarded
    FORWARDED_X          # X-Forwarded-For
    FORWARDED_IGNORED

cdef struct Target:
    # Whose row a network is: rows may be given to others, so the key says whether.
    Key key
    uint32_t row

cdef struct Identity:
    Cidr proxies           # trusted
    Cidr networks          # of clients: index in targets
    Cidr groups            # of groups: row
    Target* targets
    uint32_t version
    uint8_t methods[METHOD_COUNT]   # in their order; METHOD_ADDRESS is the last
    uint8_t methods_n
    uint8_t forwarded      # ForwardedMode
    uint8_t header_n       # 0: no header names clients
    char header[HEADER_NAME_BYTES_MAX + 1]   # in lower case


cdef inline bint identity_uses(const Identity* i, uint8_t method) noexcept nogil:
    cdef int at
    for at in range(i.methods_n):
        if i.methods[at] == method:
            return True
    return False


cdef inline void identity_free(Identity* i) noexcept nogil:
    if i == NULL:
        return
    cidr_free(&i.proxies)
    cidr_free(&i.networks)
    cidr_free(&i.groups)
    free(i.targets)
    free(i)
