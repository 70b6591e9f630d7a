"""Identify: whose request it is.

The methods of the identity in their order; the first that finds somebody decides. What
a request says of its source counts only when a trusted proxy sent it: such fields of
others are not even stored (``request``).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from c_crypto cimport SHA256
from cidr cimport ADDRESS_BYTES, CIDR_NONE, cidr_find
from clientid cimport clientid_is_usable, clientid_key
from clients cimport clients_at, key_from_v6
from conn cimport Conn
from engine cimport Engine
from finding cimport (
    NO_ROW, clients_hold_address, clients_hold_new, clients_hold_target,
    clients_hold_token, clients_leave, clients_overflow,
)
from forwarded cimport (
    FORWARDED_FOUND, FORWARDED_NONE, ForwardedResult, forwarded_source,
)
from holders cimport HOLD_CONNECTION, HOLD_TRANSFER, holders_join
from identity cimport (
    FORWARDED_EITHER, FORWARDED_IGNORED, FORWARDED_STANDARD, METHOD_HEADER,
    METHOD_NETWORK, METHOD_TOKEN, identity_uses,
)
from keymap cimport Key
from request cimport (
    FIELD_AUTHORIZATION, FIELD_CLIENT_ID, FIELD_FORWARDED, FIELD_X_FORWARDED_FOR,
    Request, request_field,
)
from text cimport Text


cdef enum:
    BEARER_BYTES = 7        # "Bearer "
    DIGEST_BYTES = 32

cdef struct Source:
    bint known
    bint forwarded          # by a trusted proxy, from ``address``
    uint8_t address[ADDRESS_BYTES]


cdef inline uint32_t hold_by_network(
    Engine* e, const uint8_t* address, int64_t unit
) noexcept nogil:
    """The client that all of a network is, held; or NO_ROW."""
    cdef uint32_t at = cidr_find(&e.identity.networks, address)
    if at == CIDR_NONE:
        return NO_ROW
    return clients_hold_target(e.clients, &e.identity.targets[at], unit)


cdef inline uint32_t hold_by_address(
    Engine* e, const uint8_t* address, int64_t unit
) noexcept nogil:
    cdef Key key
    key_from_v6(&key, address)
    return clients_hold_address(e.clients, &key, unit, e.now_ns)


cdef inline uint32_t find_peer(Engine* e, Conn* c) noexcept nogil:
    """The row of the connection's own address, held by it."""
    cdef uint32_t row = NO_ROW
    if not c.has_address:
        return clients_overflow(e.clients, HOLD_CONNECTION)
    if identity_uses(e.identity, METHOD_NETWORK):
        row = hold_by_network(e, c.address, HOLD_CONNECTION)
    c.by_network = row != NO_ROW
    if row == NO_ROW:
        row = hold_by_address(e, c.address, HOLD_CONNECTION)
    return row


cdef inline void conn_adopt(Engine* e, Conn* c) noexcept nogil:
    """Find out by the present identity who the peer is."""
    c.identity = e.identity.version
    c.proxied = c.has_address and cidr_find(
        &e.identity.proxies, c.address) != CIDR_NONE
    c.client = find_peer(e, c)


cdef inline void conn_refresh(Engine* e, Conn* c) noexcept nogil:
    """Before a request is looked at: the identity may have changed since the last."""
    cdef uint32_t before = c.client
    if c.identity == e.identity.version:
        return
    conn_adopt(e, c)
    clients_leave(e.clients, before, HOLD_CONNECTION)


cdef inline uint32_t conn_client(Engine* e, const Conn* c) noexcept nogil:
    """The row of the connection's own address, held for a transfer, too."""
    holders_join(&clients_at(e.clients, c.client).holders, HOLD_TRANSFER)
    return c.client


cdef inline bint starts_bearer(Text t) noexcept nogil:
    """The scheme is case-insensitive (RFC 9110 section 11.1)."""
    cdef const char* lower = b"bearer "
    cdef int i
    if t.at == NULL or t.n <= BEARER_BYTES:
        return False
    for i in range(BEARER_BYTES):
        if (t.at[i] | 32) != lower[i]:
            return False
    return True


cdef inline uint32_t hold_by_token(Engine* e, const Conn* c) noexcept nogil:
    cdef Text t = request_field(c.request, FIELD_AUTHORIZATION)
    cdef uint8_t digest[DIGEST_BYTES]
    if not starts_bearer(t):
        return NO_ROW
    while t.n > BEARER_BYTES and t.at[BEARER_BYTES] == 32:
        t.at += 1
        t.n -= 1
    SHA256(<const unsigned char*>t.at + BEARER_BYTES, t.n - BEARER_BYTES, digest)
    return clients_hold_token(e.clients, digest, HOLD_TRANSFER)


cdef inline bint conn_is_believed(const Conn* c) noexcept nogil:
    """When its head began and now: a reload may have come between."""
    return c.proxied and c.request.proxied


cdef inline uint32_t hold_by_header(Engine* e, const Conn* c) noexcept nogil:
    cdef Text id
    cdef Key key
    if not conn_is_believed(c) or e.identity.header_n == 0:
        return NO_ROW
    id = request_field(c.request, FIELD_CLIENT_ID)
    if not clientid_is_usable(id):
        return NO_ROW
    clientid_key(id, &key)
    return clients_hold_new(e.clients, &key, id, HOLD_TRANSFER, e.now_ns)


cdef inline ForwardedResult read_forwarded(
    Engine* e, Request* r, uint8_t* out
) noexcept nogil:
    """What the fields say that the identity looks at."""
    cdef uint8_t mode = e.identity.forwarded
    cdef ForwardedResult standard = FORWARDED_NONE
    cdef ForwardedResult other = FORWARDED_NONE
    cdef uint8_t also[ADDRESS_BYTES]
    cdef bint both = mode == FORWARDED_EITHER and (
        r.fields[FIELD_FORWARDED].at != NULL
        and r.fields[FIELD_X_FORWARDED_FOR].at != NULL)
    if mode == FORWARDED_IGNORED:  # by a reload, after the fields were read
        return FORWARDED_NONE
    if mode == FORWARDED_EITHER or mode == FORWARDED_STANDARD:
        standard = forwarded_source(
            r.fields[FIELD_FORWARDED], False, &e.identity.proxies, out)
    if both or (standard != FORWARDED_FOUND and mode != FORWARDED_STANDARD):
        other = forwarded_source(
            r.fields[FIELD_X_FORWARDED_FOR], True, &e.identity.proxies, also)
    if both and (
            standard != FORWARDED_FOUND or other != FORWARDED_FOUND
            or memcmp(out, also, ADDRESS_BYTES) != 0):
        return FORWARDED_NONE
    if standard == FORWARDED_FOUND or other != FORWARDED_FOUND:
        return standard
    memcpy(out, also, ADDRESS_BYTES)
    return other


cdef inline void find_source(Engine* e, const Conn* c, Source* s) noexcept nogil:
    """Whom a trusted proxy serves, or else the connection's own address."""
    cdef Request* r = c.request
    if s.known:
        return
    s.known = True
    s.forwarded = False
    if not conn_is_believed(c) or (
            r.fields[FIELD_FORWARDED].at == NULL
            and r.fields[FIELD_X_FORWARDED_FOR].at == NULL):
        return
    s.forwarded = read_forwarded(e, r, s.address) == FORWARDED_FOUND
    e.counters.forwarded_ignored += not s.forwarded


cdef inline uint32_t hold_by_source(
    Engine* e, const Conn* c, Source* s, bint network
) noexcept nogil:
    """By the source's network, or by its address."""
    find_source(e, c, s)
    if s.forwarded and network:
        return hold_by_network(e, s.address, HOLD_TRANSFER)
    if s.forwarded:
        return hold_by_address(e, s.address, HOLD_TRANSFER)
    return NO_ROW if network and not c.by_network else conn_client(e, c)


cdef inline uint32_t identify(Engine* e, Conn* c) noexcept nogil:
    """The client of the connection's request: its row, held for a transfer."""
    cdef uint32_t row = NO_ROW
    cdef Source source
    cdef int at
    source.known = False
    conn_refresh(e, c)
    for at in range(e.identity.methods_n):
        if e.identity.methods[at] == METHOD_TOKEN:
            row = hold_by_token(e, c)
        elif e.identity.methods[at] == METHOD_HEADER:
            row = hold_by_header(e, c)
        else:
            row = hold_by_source(
                e, c, &source, e.identity.methods[at] == METHOD_NETWORK)
        if row != NO_ROW:
            break
    return row
