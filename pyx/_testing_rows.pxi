# Wrappers of rows that come and go: rowmap, holders.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from holders cimport (
    HOLD_CONNECTION, HOLD_TRANSFER, Holders, holders_admit, holders_claim,
    holders_connections, holders_is_idle, holders_join, holders_leave,
    holders_transfers,
)
from rowmap cimport (
    ROWMAP_NO_ROW, RowMap, RowProbe, rowmap_begin, rowmap_drop, rowmap_free,
    rowmap_init, rowmap_next, rowmap_put, rowmap_way,
)


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
