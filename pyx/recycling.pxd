"""Recycling: a row for a new client when the table is full.

Of the rows that are looked at, that of the client which was idle longest: nobody holds
it, nobody has named it, and it owes nothing. So a client that comes back under the same
key finds no more tokens than it left, and whoever changes its key gains nothing: a row
earns its rate and no more, whoever has it.

A hand walks the rows in long steps, so that neighbours, which came together, are not
looked at together. What is looked at has a bound; in a table of up to RECYCLE_ROWS_MAX
rows that is all of it.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from bucket cimport bucket_owes
from c_atomic cimport atomic_load_i64, atomic_store_i64
from c_prefetch cimport prefetch_line
from clients cimport (
    CLIENT_FIRST, ROW_KEY_BYTES, ROW_NAMED, SOURCE_DEFAULT, Client, Clients,
    client_kind, clients_at,
)
from holders cimport holders_claim, holders_is_idle
from keymap cimport hash_bytes
from limits cimport RECYCLE_IDLE_ROWS, RECYCLE_ROWS_MAX
from rowmap cimport ROWMAP_NO_ROW, rowmap_drop


cdef enum:
    RECYCLE_AHEAD = 8    # rows that memory is asked for before they are looked at
    RECYCLE_TRIES = 4    # when somebody takes the chosen row at the last moment

cdef extern from *:
    """
    /* Of the rows: the golden section, whose multiples lie evenly. */
    #define RECYCLE_STEP 0.618033988749895
    """
    const double RECYCLE_STEP


cdef inline uint32_t greatest_divisor(uint32_t a, uint32_t b) noexcept nogil:
    cdef uint32_t rest
    while b:
        rest = a % b
        a = b
        b = rest
    return a


cdef inline uint32_t recycle_step(uint32_t rows) noexcept nogil:
    """Has no divisor in common with ``rows``, so that the hand comes to all of them."""
    cdef uint32_t step = <uint32_t>(rows * RECYCLE_STEP) + 1
    while greatest_divisor(step, rows) != 1:
        step += 1
    return step


cdef inline bint recycle_may(
    const Clients* t, uint32_t row, int64_t now_ns
) noexcept nogil:
    """Not one that the controllers follow: its client would begin anew without what
    they know of it. They let go of whoever is idle long enough."""
    cdef const Client* c = &t.rows[row]
    cdef bint followed = t.senses and t.feeds[row].followed
    return (
        holders_is_idle(&c.holders) and not c.kind & ROW_NAMED
        and c.source == SOURCE_DEFAULT and c.cap_bps == 0 and not followed
        and not bucket_owes(&c.bucket, now_ns))


cdef inline void recycle_ask(
    Clients* t, uint32_t rows, uint32_t step, uint32_t hand
) noexcept nogil:
    cdef Client* c = clients_at(
        t, CLIENT_FIRST + <uint32_t>(
            (hand + <int64_t>step * RECYCLE_AHEAD) % rows))
    prefetch_line(c)
    prefetch_line(&c.holders)


cdef inline uint32_t recycle_choose(Clients* t, int64_t now_ns) noexcept nogil:
    """The row of the client that was idle longest, or ROWMAP_NO_ROW."""
    cdef uint32_t rows = t.capacity - CLIENT_FIRST
    cdef uint32_t step = recycle_step(rows)
    cdef uint32_t best = ROWMAP_NO_ROW
    cdef uint32_t idle = 0
    cdef int64_t least_ns = 0
    cdef int64_t active_ns
    cdef Client* c
    for _ in range(min(rows, <uint32_t>RECYCLE_ROWS_MAX)):
        recycle_ask(t, rows, step, t.hand)
        t.hand = <uint32_t>((<int64_t>t.hand + step) % rows)
        c = clients_at(t, CLIENT_FIRST + t.hand)
        if not recycle_may(t, CLIENT_FIRST + t.hand, now_ns):
            continue
        active_ns = atomic_load_i64(&c.last_active_ns)
        if best == ROWMAP_NO_ROW or active_ns < least_ns:
            best = CLIENT_FIRST + t.hand
            least_ns = active_ns
        idle += 1
        if idle == RECYCLE_IDLE_ROWS and rows > RECYCLE_ROWS_MAX:
            break
    return best


cdef inline void recycle_clear(Client* c) noexcept nogil:
    """Nothing of the client that was here stays. What belongs to the row, its place in
    queues and passes, does."""
    atomic_store_i64(&c.bytes_total, 0)
    atomic_store_i64(&c.requests_total, 0)
    atomic_store_i64(&c.last_active_ns, 0)
    atomic_store_i64(&c.passed_bytes, 0)
    memset(&c.window, 0, sizeof(c.window))
    c.id_n = c.waits_for = 0


cdef inline uint64_t row_hash(
    Clients* t, uint8_t kind, const uint8_t* key
) noexcept nogil:
    """Of a key's first bytes."""
    return hash_bytes(key, ROW_KEY_BYTES, t.names.seed + kind)


cdef inline uint32_t recycle_take(Clients* t, int64_t now_ns) noexcept nogil:
    """A row that is claimed, without a key and cleared; ROWMAP_NO_ROW when none of
    those that were looked at is idle. The mutex is held."""
    cdef uint32_t row
    cdef Client* c
    for _ in range(RECYCLE_TRIES):
        row = recycle_choose(t, now_ns)
        if row == ROWMAP_NO_ROW:
            break
        c = clients_at(t, row)
        if not holders_claim(&c.holders):
            continue
        rowmap_drop(&t.names, row_hash(t, client_kind(c), c.key), row)
        recycle_clear(c)
        t.recycled_total += 1
        return row
    return ROWMAP_NO_ROW
