"""Finding: the row of a client, held for whoever asked, and made on first sight."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from c_atomic cimport atomic_add_i64, atomic_store_u32
from c_pthread cimport pthread_mutex_lock, pthread_mutex_unlock
from cidr cimport CIDR_NONE, cidr_find
from clients cimport (
    CLIENT_OVERFLOW, ROW_KEY_BYTES, SOURCE_DEFAULT, Client, Clients,
    client_is, client_kind, client_start, clients_at, clients_cap_bps, clients_id,
)
from holders cimport holders_admit, holders_join, holders_leave
from identity cimport Target
from keymap cimport (
    KEY_ADDRESS, KEY_TOKEN, KEYMAP_NO_ROW, Key, key_zero, keymap_find,
)
from recycling cimport recycle_take, row_hash
from rowmap cimport (
    ROWMAP_NO_ROW, RowProbe, rowmap_begin, rowmap_next, rowmap_put,
)
from text cimport Text


cdef enum:
    NO_ROW = ROWMAP_NO_ROW


cdef inline uint32_t clients_find(Clients* t, const Key* key) noexcept nogil:
    """The row of a key, or NO_ROW. The mutex is held."""
    cdef RowProbe p = rowmap_begin(&t.names, row_hash(t, key.kind, key.bytes))
    cdef uint32_t row = rowmap_next(&t.names, &p)
    while row != ROWMAP_NO_ROW and not client_is(clients_at(t, row), key):
        row = rowmap_next(&t.names, &p)
    return row


cdef inline bint client_hold(
    Clients* t, uint32_t row, const Key* key, int64_t unit
) noexcept nogil:
    """Hold ``row`` if it is that of ``key``."""
    cdef Client* c = clients_at(t, row)
    if not holders_join(&c.holders, unit):
        return False
    if client_is(c, key):
        return True
    holders_leave(&c.holders, unit)
    return False


cdef inline uint32_t clients_hold(
    Clients* t, const Key* key, int64_t unit
) noexcept nogil:
    """The row of a key, held; or NO_ROW. Any thread, without a lock."""
    cdef RowProbe p = rowmap_begin(&t.names, row_hash(t, key.kind, key.bytes))
    cdef uint32_t row = rowmap_next(&t.names, &p)
    while row != ROWMAP_NO_ROW and not client_hold(t, row, key, unit):
        row = rowmap_next(&t.names, &p)
    return row


cdef inline void clients_leave(Clients* t, uint32_t row, int64_t unit) noexcept nogil:
    holders_leave(&clients_at(t, row).holders, unit)


cdef inline uint32_t clients_parent(Clients* t, const Client* c) noexcept nogil:
    """The group in whose networks a client's address is, or that of the default class.
    The mutex is held."""
    cdef uint32_t group = CIDR_NONE
    if t.identity != NULL and client_kind(c) == KEY_ADDRESS:
        group = cidr_find(&t.identity.groups, c.key)
    return t.default_group if group == CIDR_NONE else group


cdef inline uint32_t clients_add(
    Clients* t, const Key* key, int64_t now_ns
) noexcept nogil:
    """A row for a new ``key`` in the default class, with an empty bucket: an unused
    one, or that of a client that was idle long. NO_ROW if there is none. The mutex is
    held."""
    cdef uint32_t row = t.used
    cdef bint recycled = row >= t.capacity
    cdef Client* c
    if recycled:
        row = recycle_take(t, now_ns)
        if row == ROWMAP_NO_ROW:
            return NO_ROW
    c = clients_at(t, row)
    c.kind = key.kind
    memcpy(c.key, key.bytes, ROW_KEY_BYTES)
    c.allowed = t.default_allowed
    c.parent = clients_parent(t, c)
    c.source = SOURCE_DEFAULT
    client_start(c, clients_cap_bps(t, row), now_ns)
    # There are more slots than rows.
    rowmap_put(&t.names, row_hash(t, key.kind, key.bytes), row)
    if recycled:
        holders_admit(&c.holders)
    else:
        atomic_store_u32(&t.used, row + 1)
    return row


cdef inline uint32_t clients_overflow(Clients* t, int64_t unit) noexcept nogil:
    """The row that those share for whom there is none; nobody claims it."""
    atomic_add_i64(&t.overflow_total, 1)
    holders_join(&clients_at(t, CLIENT_OVERFLOW).holders, unit)
    return CLIENT_OVERFLOW


cdef inline uint32_t clients_hold_new(
    Clients* t, const Key* key, Text id, int64_t unit, int64_t now_ns
) noexcept nogil:
    """The row of a key, made on first sight and held; CLIENT_OVERFLOW when every row is
    in use.

    Args:
        id: what a client that is no address is called.
    """
    cdef uint32_t row = clients_hold(t, key, unit)
    if row != NO_ROW:
        return row
    pthread_mutex_lock(&t.mutex)
    row = clients_find(t, key)  # another engine may have been first
    if row == NO_ROW:
        row = clients_add(t, key, now_ns)
        if row != NO_ROW and key.kind != KEY_ADDRESS:
            clients_at(t, row).id_n = <uint8_t>id.n
            memcpy(clients_id(t, row), id.at, id.n)
    if row != NO_ROW:
        # Only who has the mutex claims a row.
        holders_join(&clients_at(t, row).holders, unit)
    pthread_mutex_unlock(&t.mutex)
    return clients_overflow(t, unit) if row == NO_ROW else row


cdef inline uint32_t clients_hold_address(
    Clients* t, const Key* key, int64_t unit, int64_t now_ns
) noexcept nogil:
    cdef Text nameless
    nameless.at = NULL
    nameless.n = 0
    return clients_hold_new(t, key, nameless, unit, now_ns)


cdef inline uint32_t clients_hold_token(
    Clients* t, const uint8_t* digest, int64_t unit
) noexcept nogil:
    """The row of a bearer token's SHA-256, held; or NO_ROW."""
    cdef Key key
    cdef uint32_t row
    key_zero(&key, KEY_TOKEN)
    memcpy(key.bytes, digest, 32)
    row = keymap_find(&t.tokens, &key)
    if row == KEYMAP_NO_ROW or not holders_join(&clients_at(t, row).holders, unit):
        return NO_ROW
    # A token is taken back before its row can be given to somebody else.
    if keymap_find(&t.tokens, &key) == row:
        return row
    holders_leave(&clients_at(t, row).holders, unit)
    return NO_ROW


cdef inline uint32_t clients_hold_target(
    Clients* t, const Target* target, int64_t unit
) noexcept nogil:
    """The row of a network's client, held; or NO_ROW: it is none any more."""
    return target.row if client_hold(t, target.row, &target.key, unit) else NO_ROW
