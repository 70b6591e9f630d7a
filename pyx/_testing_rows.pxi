# Wrappers of rows that come and go: rowmap, holders, finding, recycling; and of what
# Prometheus is told of them.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from addresstext cimport ADDRESS_TEXT_BYTES, address_write
from bucket cimport bucket_fill_bytes, bucket_owes, bucket_quantum, bucket_take
from c_atomic cimport atomic_load_i64
from clients cimport (
    CLIENT_FIRST, CLIENT_OVERFLOW, Client, Clients, client_is, client_name, client_use,
    clients_at, clients_free, clients_init, key_from_v4,
)
from exposition cimport NUMBER_BYTES, label_write, number_write
from finding cimport clients_find, clients_hold_address, clients_leave
from holders cimport (
    HOLD_CONNECTION, HOLD_TRANSFER, Holders, holders_admit, holders_claim,
    holders_connections, holders_is_idle, holders_join, holders_leave,
    holders_transfers,
)
from keymap cimport Key as ClientKey
from limits cimport RECYCLE_IDLE_ROWS, RECYCLE_ROWS_MAX
from ranking cimport (
    Ranking, ranking_admits, ranking_free, ranking_init, ranking_is_full,
    ranking_next_place, ranking_put,
)
from rowmap cimport (
    ROWMAP_NO_ROW, RowMap, RowProbe, rowmap_begin, rowmap_drop, rowmap_free,
    rowmap_init, rowmap_next, rowmap_put, rowmap_way,
)
from window cimport window_add, window_mean_bps
from writer cimport Writer, writer_count, writer_init

RECYCLE = {"rows_max": RECYCLE_ROWS_MAX, "idle_rows": RECYCLE_IDLE_ROWS}


cdef class RowNames:
    """A RowMap."""
    cdef RowMap map

    def __cinit__(self, uint32_t rows):
        if rowmap_init(&self.map, rows, 0) < 0:
            raise MemoryError

    def __dealloc__(self):
        rowmap_free(&self.map)

    def put(self, uint64_t key, uint32_t row):
        return rowmap_put(&self.map, key, row)

    def drop(self, uint64_t key, uint32_t row):
        rowmap_drop(&self.map, key, row)

    def rows(self, uint64_t key):
        cdef RowProbe probe = rowmap_begin(&self.map, key)
        cdef uint32_t row = rowmap_next(&self.map, &probe)
        found = []
        while row != ROWMAP_NO_ROW:
            found.append(row)
            row = rowmap_next(&self.map, &probe)
        return found

    def way(self, uint64_t key):
        return rowmap_way(&self.map, key)

    @property
    def capacity(self):
        return self.map.capacity


cdef class RowHolders:
    """Who holds one row; "connection" and "transfer" are the units."""
    cdef Holders holders

    cdef int64_t unit(self, name) except -1:
        return {"connection": HOLD_CONNECTION, "transfer": HOLD_TRANSFER}[name]

    def join(self, name):
        return bool(holders_join(&self.holders, self.unit(name)))

    def leave(self, name):
        holders_leave(&self.holders, self.unit(name))

    def claim(self):
        return bool(holders_claim(&self.holders))

    def admit(self):
        holders_admit(&self.holders)

    def idle(self):
        return bool(holders_is_idle(&self.holders))

    def counts(self):
        return holders_connections(&self.holders), holders_transfers(&self.holders)

    def visit_many(self, int64_t times):
        """Join and leave without the GIL; how often it was claimed meanwhile."""
        cdef int64_t refused = 0
        cdef int64_t _i
        with nogil:
            for _i in range(times):
                if holders_join(&self.holders, HOLD_TRANSFER):
                    holders_leave(&self.holders, HOLD_TRANSFER)
                else:
                    refused += 1
        return refused

    def claim_many(self, int64_t times):
        """Claim and admit without the GIL; how often a claim was possible."""
        cdef int64_t claimed = 0
        cdef int64_t _i
        with nogil:
            for _i in range(times):
                if holders_claim(&self.holders):
                    claimed += 1
                    holders_admit(&self.holders)
        return claimed


cdef class ClientRows:
    """A client table on a clock that tests turn. Keys are numbers; who holds a row must
    leave it."""
    cdef Clients table

    def __cinit__(self, uint32_t rows, int64_t rate_bps=0, int64_t now_ns=10**9):
        if clients_init(&self.table, rows, rate_bps, 0, 1, now_ns) < 0:
            raise MemoryError

    def __dealloc__(self):
        clients_free(&self.table)

    cdef ClientKey key(self, uint32_t number):
        cdef ClientKey key
        key_from_v4(&key, &number)
        return key

    def hold(self, uint32_t number, int64_t now_ns):
        """Its row, held for a transfer; None when it shares one."""
        cdef ClientKey key = self.key(number)
        cdef uint32_t row = clients_hold_address(
            &self.table, &key, HOLD_TRANSFER, now_ns)
        if row == CLIENT_OVERFLOW:
            clients_leave(&self.table, row, HOLD_TRANSFER)
            return None
        client_use(clients_at(&self.table, row), now_ns)
        return row

    def leave(self, uint32_t row):
        clients_leave(&self.table, row, HOLD_TRANSFER)

    def has(self, uint32_t row, uint32_t number):
        cdef ClientKey key = self.key(number)
        return bool(client_is(clients_at(&self.table, row), &key))

    def knows(self, uint32_t number):
        cdef ClientKey key = self.key(number)
        return clients_find(&self.table, &key) != ROWMAP_NO_ROW

    def take(self, uint32_t row, int64_t now_ns):
        """Bytes that it is granted, a quantum or none."""
        cdef Client* c = clients_at(&self.table, row)
        cdef int64_t n = bucket_quantum(atomic_load_i64(&c.bucket.rate_bps))
        c.last_active_ns = now_ns
        if bucket_take(&c.bucket, n, now_ns) > 0:
            return 0
        c.bytes_total += n
        window_add(&c.window, n, now_ns)
        return n

    def row(self, uint32_t row, int64_t now_ns):
        cdef Client* c = clients_at(&self.table, row)
        return {
            "fill": bucket_fill_bytes(&c.bucket, now_ns),
            "owes": bool(bucket_owes(&c.bucket, now_ns)), "bytes": c.bytes_total,
            "mean": window_mean_bps(&c.window, now_ns), "active_ns": c.last_active_ns}

    def name(self, uint32_t row, bint named):
        client_name(clients_at(&self.table, row), named)

    def cap(self, uint32_t row, int64_t cap_bps):
        clients_at(&self.table, row).cap_bps = cap_bps

    def visit_many(self, uint32_t seed, uint32_t numbers, int64_t times):
        """Hold and leave the rows of many keys, without the GIL; how often a row that
        was held was another's, and how often none was free."""
        cdef int64_t wrong = 0
        cdef int64_t shared = 0
        cdef int64_t i
        cdef uint32_t number, row
        cdef ClientKey key
        with nogil:
            for i in range(times):
                seed = seed * 1664525 + 1013904223
                number = (seed >> 8) % numbers
                key_from_v4(&key, &number)
                row = clients_hold_address(&self.table, &key, HOLD_TRANSFER, i)
                if row == CLIENT_OVERFLOW:
                    shared += 1
                elif not client_is(clients_at(&self.table, row), &key):
                    wrong += 1
                clients_leave(&self.table, row, HOLD_TRANSFER)
        return wrong, shared

    def arrive_many(self, uint32_t first, uint32_t n, int64_t now_ns):
        """New clients, one after the other; those that found no row."""
        cdef uint32_t i, row
        cdef int64_t shared = 0
        cdef ClientKey key
        with nogil:
            for i in range(first, first + n):
                key_from_v4(&key, &i)
                row = clients_hold_address(&self.table, &key, HOLD_TRANSFER, now_ns)
                shared += row == CLIENT_OVERFLOW
                clients_at(&self.table, row).last_active_ns = now_ns
                clients_leave(&self.table, row, HOLD_TRANSFER)
        return shared

    def idle(self):
        """Whether nobody holds a row."""
        cdef uint32_t row
        return all(
            holders_is_idle(&self.table.rows[row].holders)
            for row in range(CLIENT_OVERFLOW, self.table.used))

    @property
    def first(self):
        return CLIENT_FIRST

    @property
    def recycled(self):
        return self.table.recycled_total

    @property
    def overflow(self):
        return self.table.overflow_total


cdef class Contest:
    """A Ranking; each is called by its place."""
    cdef Ranking ranking
    cdef readonly dict kept

    def __cinit__(self, uint32_t most):
        self.kept = {}
        if ranking_init(&self.ranking, most) < 0:
            raise MemoryError

    def __dealloc__(self):
        ranking_free(&self.ranking)

    def enter(self, int64_t value, uint64_t precedence):
        """Who is out of it now: None, this one, or whoever it pushed out."""
        cdef uint32_t place
        if not ranking_admits(&self.ranking, value, precedence):
            return value, precedence
        place = ranking_next_place(&self.ranking)
        full = ranking_is_full(&self.ranking)
        out = self.kept[place] if full else None
        ranking_put(&self.ranking, value, precedence)
        self.kept[place] = value, precedence
        return out


def number_text(double value):
    cdef char text[NUMBER_BYTES]
    cdef Writer w
    writer_init(&w, text, NUMBER_BYTES)
    number_write(&w, value)
    return None if w.full else text[:writer_count(&w)].decode("ascii")


def label_text(bytes value):
    cdef char text[256]
    cdef Writer w
    writer_init(&w, text, 256)
    label_write(&w, value, len(value))
    return text[:writer_count(&w)]


def address_text(bytes key):
    cdef char text[ADDRESS_TEXT_BYTES]
    cdef size_t n = address_write(<const uint8_t*><char*>key, text)
    return text[:n].decode("ascii")
