"""KeyMap: which row a client's key belongs to.

Keys are added, never moved: readers on any thread look up without a lock, writers
hold the table's. A key that is taken back (a token that was revoked) stays and points
to ``KEYMAP_NO_ROW``. The hash is seeded, so that chosen addresses cannot be made to
collide.
"""

from libc.errno cimport ENOMEM, ENOSPC
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from c_atomic cimport atomic_load_u32, atomic_store_u32
from mapping cimport mapping_free, mapping_new


cdef enum:
    KEY_BYTES = 32
    KEYMAP_NO_ROW = 0xFFFFFFFF

cdef enum KeyKind:
    KEY_NAME = 1      # SHA-256 of a configured client id
    KEY_TOKEN = 2     # SHA-256 of a bearer token
    KEY_ADDRESS = 3   # an IPv6 address, /64 or v4-mapped

cdef struct Key:
    uint8_t bytes[KEY_BYTES]
    uint8_t kind

cdef struct KeySlot:
    Key key
    uint32_t ready   # published last: everything else is then valid
    uint32_t row

cdef struct KeyMap:
    KeySlot* slots
    uint64_t seed
    uint32_t capacity   # a power of two
    uint32_t used

cdef extern from *:
    """
    #include <stdint.h>
    /* 64 x 64 -> 128 bit multiplication, folded: one round of a keyed mixer. */
    static inline uint64_t penstock_mix(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t penstock_mix(uint64_t a, uint64_t b) nogil


cdef inline uint64_t hash_bytes(
    const void* data, size_t n, uint64_t seed
) noexcept nogil:
    """A seeded hash for tables in memory; not a message digest."""
    cdef const char* p = <const char*>data
    cdef uint64_t h = seed ^ (<uint64_t>n * <uint64_t>0x9E3779B97F4A7C15)
    cdef uint64_t word
    while n >= 8:
        memcpy(&word, p, 8)
        h = penstock_mix(h ^ word, <uint64_t>0xD6E8FEB86659FD93)
        p += 8
        n -= 8
    word = 0
    memcpy(&word, p, n)
    h = penstock_mix(h ^ word, <uint64_t>0xA0761D6478BD642F)
    return penstock_mix(h ^ seed, <uint64_t>0xE7037ED1A0B428DB)


cdef inline int keymap_init(
    KeyMap* m, uint32_t capacity, uint64_t seed
) noexcept nogil:
    m.capacity = capacity
    m.used = 0
    m.seed = seed
    m.slots = <KeySlot*>mapping_new(sizeof(KeySlot) * capacity)
    return 0 if m.slots != NULL else -ENOMEM


cdef inline void keymap_free(KeyMap* m) noexcept nogil:
    mapping_free(m.slots, sizeof(KeySlot) * m.capacity)
    m.slots = NULL


cdef inline uint32_t keymap_probe(KeyMap* m, const Key* key) noexcept nogil:
    """The slot that holds ``key``, or the empty one where it would go."""
    cdef uint32_t mask = m.capacity - 1
    cdef uint32_t i = <uint32_t>hash_bytes(key.bytes, KEY_BYTES, m.seed + key.kind)
    cdef KeySlot* s
    while True:
        s = &m.slots[i & mask]
        if not atomic_load_u32(&s.ready):
            return i & mask
        if s.key.kind == key.kind and memcmp(s.key.bytes, key.bytes, KEY_BYTES) == 0:
            return i & mask
        i += 1


cdef inline uint32_t keymap_find(KeyMap* m, const Key* key) noexcept nogil:
    """The row, or ``KEYMAP_NO_ROW``. Any thread."""
    cdef KeySlot* s = &m.slots[keymap_probe(m, key)]
    if not atomic_load_u32(&s.ready):
        return KEYMAP_NO_ROW
    return atomic_load_u32(&s.row)


cdef inline int keymap_set(KeyMap* m, const Key* key, uint32_t row) noexcept nogil:
    """Bind ``key`` to ``row``; -ENOSPC at three quarters full. Writers only."""
    cdef KeySlot* s = &m.slots[keymap_probe(m, key)]
    if atomic_load_u32(&s.ready):
        atomic_store_u32(&s.row, row)
        return 0
    if m.used >= m.capacity - m.capacity // 4:
        return -ENOSPC
    m.used += 1
    s.key = key[0]
    atomic_store_u32(&s.row, row)
    atomic_store_u32(&s.ready, 1)
    return 0


cdef inline void key_zero(Key* key, uint8_t kind) noexcept nogil:
    memset(key, 0, sizeof(Key))
    key.kind = kind
