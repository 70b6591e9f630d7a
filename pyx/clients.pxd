"""Clients: one row per client, shared by all engines, and per node above them.

Engines read and charge rows without a lock (``Bucket`` and the counters are atomic).
Whoever uses a row holds it (``holders``); one that nobody holds and nobody has named
may be given to another client when the table is full (``recycling``), which takes the
mutex, as adding does. Row 0 is the server itself (the total rate). Then come the
groups. One more row stands for every client that came when no row was free: they share
one default limit, so that new keys cannot mint bandwidth.

Whatever a node is allowed is its ``Allowance``, which only a configuration changes.
What its bucket runs at is decided from that by the control pass (``tree``). How a row
is found and made says ``finding``.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from activity cimport Activity, activity_free, activity_init
from allowance cimport (
    ALLOWANCE_NODE_DEPTH_MS, Allowance, allowance_init, allowance_limit_bps,
    allowance_shape, tighter_bps,
)
from bucket cimport Bucket, bucket_empty, bucket_init
from c_atomic cimport atomic_cas_i64, atomic_load_i64
from c_pthread cimport pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_t
from feed cimport Feed, FeedRules, feed_rules_init
from holders cimport Holders
from identity cimport Identity
from keymap cimport (
    KEY_ADDRESS, Key, KeyMap, key_zero, keymap_free, keymap_init,
)
from limits cimport CLIENT_ID_BYTES_MAX, GROUPS_MAX
from mapping cimport mapping_free, mapping_new, mapping_new_dense, power_of_two
from rowmap cimport RowMap, rowmap_free, rowmap_init
from window cimport Window


cdef enum:
    CLIENT_SERVER = 0
    CLIENT_GROUPS = 1        # the first group's row; all below CLIENT_OVERFLOW
    CLIENT_OVERFLOW = CLIENT_GROUPS + GROUPS_MAX
    CLIENT_FIRST = CLIENT_OVERFLOW + 1
    # Of each client as many tokens fit, on average.
    TOKENS_PER_ROW = 4
    ROW_KEY_BYTES = 16
    # Beside the KeyKind: the configuration or the API has named the row.
    ROW_NAMED = 0x80

cdef enum Source:
    SOURCE_DEFAULT   # the default class
    SOURCE_FILE      # the configuration file
    SOURCE_API       # the admin API

cdef enum Limiter:
    # What keeps a node from more.
    LIMITER_NONE       # nothing: it has what it wants
    LIMITER_CLIENT     # its own rate or ceil
    LIMITER_GROUP
    LIMITER_SERVER
    LIMITER_PEER       # its readers: their sockets are full
    LIMITER_DISK
    LIMITER_SCHEDULE   # a cap that a schedule put on it
    LIMITER_QUOTA      # a cap for what it has used
    LIMITER_ADAPTIVE   # its adaptive target
    LIMITER_CONTROLLER # the controller, which follows loss, ECN and RTT
    LIMITER_BREAKER    # the breaker: its path loses too much
    LIMITER_POLICY     # a cap while an alert fires

cdef struct Client:
    # A cache line, for whatever a grant and its settlement ask and change.
    Bucket bucket
    int64_t bytes_total      # written to sockets, heads included
    int64_t last_active_ns
    uint32_t parent          # row of its group, or CLIENT_SERVER
    int32_t parked           # transfers that wait, on all engines
    int32_t queues           # engines on which transfers wait for this bucket
    uint32_t turns           # grants so far, while any engine waited
    # Another, for what changes with a request or seldom.
    int64_t requests_total
    Holders holders          # connections and transfers
    uint8_t source           # Source
    uint8_t kind             # KeyKind of its key, and ROW_NAMED
    uint8_t id_n             # see clients_id; of an address: nothing
    uint8_t bound            # Limiter: of the last control pass, where it was short
    uint8_t cap_by           # Limiter: whose cap_bps is
    uint8_t waits_for        # Limiter: PEER or DISK, what a transfer last waited for
    uint8_t listed           # in the list of a control pass (tree)
    uint8_t backlogged       # in the last control pass
    uint8_t key[ROW_KEY_BYTES]   # an address, or the begin of a SHA-256
    Window window            # what it was sent lately: to the end of a third
    # A fourth, which the control pass needs.
    Allowance allowed
    int64_t cap_bps          # one more limit; 0: none
    int64_t passed_bytes     # bytes_total at the last control pass

cdef struct Clients:
    Client* rows
    char* ids                # CLIENT_ID_BYTES_MAX each, of rows that have a name
    Activity active          # got bytes since the last control pass
    Activity short_of        # was refused tokens, likewise
    Activity uncounted       # got bytes since usage was taken last (Usage)
    Activity unfed           # active or short since the last feedback pass
    Activity unfed_short     # of them: short of tokens
    Feed* feeds              # by row; only those of followed clients are touched
    FeedRules feed_rules
    RowMap names             # by the rows' own keys
    KeyMap tokens
    pthread_mutex_t mutex    # held to add and recycle rows, and to bind tokens
    Identity* identity       # how clients are told apart; replaced as a whole
    Allowance default_allowed   # of clients that have none of their own
    int64_t default_cap_bps     # one more limit of each of them; 0: none
    uint8_t default_cap_by      # Limiter
    int64_t overflow_total   # lookups that ended in CLIENT_OVERFLOW
    int64_t recycled_total   # rows that were given to another client
    uint32_t hand            # which row was looked at last for that
    uint32_t default_group   # row
    uint32_t senses          # some client had a mode since the start
    uint32_t alarmed         # clients whose breaker is not closed
    uint32_t explains        # whether responses say what limits them
    uint32_t paces           # whether the kernel is told to spread quanta out
    uint32_t engines_n       # that share the table
    uint32_t capacity
    uint32_t used            # rows, the standing ones included


cdef inline int clients_init(
    Clients* t, uint32_t capacity, int64_t default_bps, int64_t total_bps,
    uint64_t seed, int64_t now_ns
) noexcept nogil:
    cdef int rc
    cdef uint32_t row
    t.capacity = capacity + CLIENT_FIRST
    t.used = CLIENT_FIRST
    t.overflow_total = t.recycled_total = 0
    t.engines_n = t.senses = t.alarmed = 0
    t.hand = 0
    t.identity = NULL
    t.explains = t.paces = False
    t.default_group = CLIENT_SERVER
    t.default_cap_bps = 0
    t.default_cap_by = LIMITER_NONE
    allowance_init(&t.default_allowed, default_bps)
    t.rows = <Client*>mapping_new_dense(sizeof(Client) * t.capacity)
    t.ids = <char*>mapping_new(<size_t>CLIENT_ID_BYTES_MAX * t.capacity)
    t.feeds = <Feed*>mapping_new(sizeof(Feed) * t.capacity)
    feed_rules_init(&t.feed_rules)
    if t.rows == NULL or t.ids == NULL or t.feeds == NULL:
        return -ENOMEM
    rc = activity_init(&t.active, t.capacity)
    if rc == 0:
        rc = activity_init(&t.short_of, t.capacity)
    if rc == 0:
        rc = activity_init(&t.uncounted, t.capacity)
    if rc == 0:
        rc = activity_init(&t.unfed, t.capacity)
    if rc == 0:
        rc = activity_init(&t.unfed_short, t.capacity)
    if rc == 0:
        rc = rowmap_init(&t.names, t.capacity, seed)
    if rc == 0:
        rc = keymap_init(&t.tokens, power_of_two(TOKENS_PER_ROW * t.capacity), seed)
    if rc < 0:
        return rc
    for row in range(CLIENT_OVERFLOW):
        allowance_init(&t.rows[row].allowed, 0)
        t.rows[row].allowed.depth_ms = ALLOWANCE_NODE_DEPTH_MS
    t.rows[CLIENT_SERVER].allowed.rate_bps = total_bps
    t.rows[CLIENT_OVERFLOW].allowed = t.default_allowed
    client_start(&t.rows[CLIENT_SERVER], 0, now_ns)
    client_start(&t.rows[CLIENT_OVERFLOW], 0, now_ns)
    pthread_mutex_init(&t.mutex, NULL)
    return 0


cdef inline void clients_free(Clients* t) noexcept nogil:
    if t.rows != NULL:
        mapping_free(t.rows, sizeof(Client) * t.capacity)
        pthread_mutex_destroy(&t.mutex)
    t.rows = NULL
    mapping_free(t.ids, <size_t>CLIENT_ID_BYTES_MAX * t.capacity)
    t.ids = NULL
    mapping_free(t.feeds, sizeof(Feed) * t.capacity)
    t.feeds = NULL
    activity_free(&t.active)
    activity_free(&t.short_of)
    activity_free(&t.uncounted)
    activity_free(&t.unfed)
    activity_free(&t.unfed_short)
    rowmap_free(&t.names)
    keymap_free(&t.tokens)


cdef inline char* clients_id(Clients* t, uint32_t row) noexcept nogil:
    """Where the name of ``row`` is; ``id_n`` bytes."""
    return &t.ids[<size_t>CLIENT_ID_BYTES_MAX * row]


cdef inline bint row_is_node(uint32_t row) noexcept nogil:
    """The server or a group: others wait in its line."""
    return row < CLIENT_OVERFLOW


cdef inline void client_start(
    Client* c, int64_t cap_bps, int64_t now_ns
) noexcept nogil:
    """An empty bucket at what is allowed."""
    bucket_init(&c.bucket, allowance_limit_bps(&c.allowed, cap_bps), now_ns)
    allowance_shape(&c.allowed, &c.bucket)


cdef inline Client* clients_at(Clients* t, uint32_t row) noexcept nogil:
    return &t.rows[row]


cdef inline int64_t clients_cap_bps(const Clients* t, uint32_t row) noexcept nogil:
    """The lowest one of a row's own cap, that of its class, and what the controllers
    allow it; 0: none."""
    cdef const Client* c = &t.rows[row]
    cdef int64_t cap_bps = c.cap_bps
    if row_is_node(row):
        return cap_bps
    if c.source == SOURCE_DEFAULT:
        cap_bps = tighter_bps(cap_bps, atomic_load_i64(&t.default_cap_bps))
    if t.senses:
        cap_bps = tighter_bps(cap_bps, atomic_load_i64(&t.feeds[row].limit_bps))
    return cap_bps


cdef inline void client_use(Client* c, int64_t now_ns) noexcept nogil:
    """Before a request: the first one ever finds an empty bucket, however long ago the
    row was configured, so that what a client gets does not depend on that."""
    cdef int64_t never = 0
    if atomic_load_i64(&c.last_active_ns) == 0 and atomic_cas_i64(
            &c.last_active_ns, &never, now_ns):
        bucket_empty(&c.bucket, now_ns)


cdef inline uint8_t client_kind(const Client* c) noexcept nogil:
    return c.kind & ~<uint8_t>ROW_NAMED


cdef inline bint client_is(const Client* c, const Key* key) noexcept nogil:
    """Of a row that is held, or under the mutex."""
    return (
        client_kind(c) == key.kind
        and memcmp(c.key, key.bytes, ROW_KEY_BYTES) == 0)


cdef inline void client_name(Client* c, bint named) noexcept nogil:
    """Keep the row for its client, or not any more. The mutex is held."""
    c.kind = client_kind(c) | (ROW_NAMED if named else 0)


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
