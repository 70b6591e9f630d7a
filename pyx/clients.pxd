"""Clients: one row per client, shared by all engines.

Rows are only ever added, so an index stays good for the life of the process. Engines
read and charge rows without a lock (``Bucket`` and the counters are atomic); adding a
row or a key takes the mutex. Row 0 is the server itself (the total rate), row 1 stands
for every client that came when the table was full: they share one default limit, so
that new keys cannot mint bandwidth.
"""

from libc.errno cimport ENOMEM, ENOSPC
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bucket cimport Bucket, bucket_empty, bucket_init
from c_atomic cimport (
    atomic_add_i64, atomic_cas_i64, atomic_load_i64, atomic_load_u32,
    atomic_store_u32,
)
from c_pthread cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t,
    pthread_mutex_unlock,
)
from keymap cimport (
    KEY_ADDRESS, KEY_TOKEN, KEYMAP_NO_ROW, Key, KeyMap, key_zero, keymap_find,
    keymap_free, keymap_init, keymap_set,
)
from limits cimport CLIENT_ID_BYTES_MAX
from mapping cimport mapping_free, mapping_new_dense, power_of_two
from window cimport Window


cdef enum:
    CLIENT_SERVER = 0
    CLIENT_OVERFLOW = 1
    CLIENT_FIRST = 2
    # Names and tokens beside addresses: room for keys before the rows run out.
    KEYS_PER_ROW = 4
    CLIENT_UNUSED_BYTES = 5   # so that every row begins with a cache line

cdef enum ClientSource:
    SOURCE_DEFAULT   # the default client rate
    SOURCE_FILE      # the configuration file
    SOURCE_API       # POST /config

cdef struct Client:
    # A cache line, for whatever a grant and its settlement ask and change.
    Bucket bucket
    int64_t parked           # transfers that wait, on all engines
    int64_t queues           # engines on which transfers wait for this bucket
    int64_t turns            # grants so far, while any engine waited
    int64_t bytes_total      # written to sockets, heads included
    int64_t last_active_ns
    int64_t requests_total
    # Another, for what changes with a request or seldom.
    int64_t connections
    int64_t transfers
    uint8_t source           # ClientSource
    uint8_t by_address       # the id is made from the key: see address
    uint8_t id_n
    uint8_t address[16]
    uint8_t unused[CLIENT_UNUSED_BYTES]
    Window window            # what it was sent lately: to the end of a third
    # A fourth, which is only shown.
    char id[CLIENT_ID_BYTES_MAX]

cdef struct Clients:
    Client* rows
    KeyMap keys
    pthread_mutex_t mutex    # held to add rows and keys
    int64_t default_rate_bps
    int64_t overflow_total   # lookups that ended in CLIENT_OVERFLOW
    uint32_t capacity
    uint32_t used            # rows, the two standing ones included


cdef inline int clients_init(
    Clients* t, uint32_t capacity, int64_t default_bps, int64_t total_bps,
    uint64_t seed, int64_t now_ns
) noexcept nogil:
    cdef int rc
    t.capacity = capacity + CLIENT_FIRST
    t.used = CLIENT_FIRST
    t.default_rate_bps = default_bps
    t.overflow_total = 0
    t.rows = <Client*>mapping_new_dense(sizeof(Client) * t.capacity)
    if t.rows == NULL:
        return -ENOMEM
    rc = keymap_init(&t.keys, power_of_two(KEYS_PER_ROW * t.capacity), seed)
    if rc < 0:
        return rc
    bucket_init(&t.rows[CLIENT_SERVER].bucket, total_bps, now_ns)
    bucket_init(&t.rows[CLIENT_OVERFLOW].bucket, default_bps, now_ns)
    pthread_mutex_init(&t.mutex, NULL)
    return 0


cdef inline void clients_free(Clients* t) noexcept nogil:
    if t.rows != NULL:
        mapping_free(t.rows, sizeof(Client) * t.capacity)
        pthread_mutex_destroy(&t.mutex)
    t.rows = NULL
    keymap_free(&t.keys)


cdef inline Client* clients_at(Clients* t, uint32_t row) noexcept nogil:
    return &t.rows[row]


cdef inline void client_use(Client* c, int64_t now_ns) noexcept nogil:
    """Before a request: the first one ever finds an empty bucket, however long ago the
    row was configured, so that what a client gets does not depend on that."""
    cdef int64_t never = 0
    if atomic_load_i64(&c.last_active_ns) == 0 and atomic_cas_i64(
            &c.last_active_ns, &never, now_ns):
        bucket_empty(&c.bucket, now_ns)


cdef inline int64_t clients_add(
    Clients* t, const Key* key, uint8_t source, int64_t rate_bps, int64_t now_ns
) noexcept nogil:
    """A new row for ``key``, or -ENOSPC. The mutex is held."""
    cdef uint32_t row = t.used
    cdef Client* c
    if row >= t.capacity:
        return -ENOSPC
    c = &t.rows[row]
    bucket_init(&c.bucket, rate_bps, now_ns)
    c.source = source
    if key.kind == KEY_ADDRESS:
        c.by_address = 1
        memcpy(c.address, key.bytes, 16)
    if keymap_set(&t.keys, key, row) < 0:
        return -ENOSPC
    atomic_store_u32(&t.used, row + 1)
    return row


cdef inline uint32_t clients_by_address(
    Clients* t, const Key* key, int64_t now_ns
) noexcept nogil:
    """The row of an address, made on first sight; CLIENT_OVERFLOW when full."""
    cdef uint32_t row = keymap_find(&t.keys, key)
    cdef int64_t added
    if row != KEYMAP_NO_ROW:
        return row
    pthread_mutex_lock(&t.mutex)
    row = keymap_find(&t.keys, key)  # another engine may have been first
    if row == KEYMAP_NO_ROW:
        added = clients_add(
            t, key, SOURCE_DEFAULT, atomic_load_i64(&t.default_rate_bps), now_ns)
        row = CLIENT_OVERFLOW if added < 0 else <uint32_t>added
    pthread_mutex_unlock(&t.mutex)
    if row == CLIENT_OVERFLOW:
        atomic_add_i64(&t.overflow_total, 1)
    return row


cdef inline uint32_t clients_by_token(
    Clients* t, const uint8_t* digest
) noexcept nogil:
    """The row of a bearer token's SHA-256, or KEYMAP_NO_ROW."""
    cdef Key key
    key_zero(&key, KEY_TOKEN)
    memcpy(key.bytes, digest, 32)
    return keymap_find(&t.keys, &key)


cdef inline void key_from_v4(Key* key, const void* address) noexcept nogil:
    """A v4 address as its v4-mapped v6 address (RFC 4291 section 2.5.5.2)."""
    key_zero(key, KEY_ADDRESS)
    key.bytes[10] = key.bytes[11] = 0xFF
    memcpy(&key.bytes[12], address, 4)


cdef inline void key_from_v6(Key* key, const uint8_t* address) noexcept nogil:
    """The /64 of a v6 address: what one customer is given (RFC 6177)."""
    cdef int i
    cdef bint mapped = address[10] == 0xFF and address[11] == 0xFF
    for i in range(10):
        mapped = mapped and address[i] == 0
    if mapped:
        key_from_v4(key, &address[12])
        return
    key_zero(key, KEY_ADDRESS)
    memcpy(key.bytes, address, 8)
