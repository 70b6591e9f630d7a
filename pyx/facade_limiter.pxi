"""What schedules, quotas and rate contexts use of the client table."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc as usage_calloc, free as usage_free

from activity cimport ACTIVITY_WORD_BITS, activity_take
from bucket cimport BUCKET_QUANTUM_MAX_BYTES
from c_atomic cimport atomic_load_i64, atomic_load_u64
from c_pthread cimport pthread_mutex_lock, pthread_mutex_unlock
from c_time cimport clock_monotonic_ns
from clients cimport CLIENT_OVERFLOW, Client, Clients, clients_at
from paying cimport (
    Payer, payer_join, payer_leave, payer_quantum, payer_refund, payer_settle,
    payer_take,
)
from tree cimport word_lowest_bit


from penstock.usage import Sent


cdef class Usage:
    """Which clients were sent something since the last ``take``, and how much."""
    cdef ClientTable clients
    cdef int64_t* seen     # bytes_total of each row, when it was looked at last
    cdef dict names        # row -> whose that was

    def __cinit__(self, ClientTable clients):
        self.clients = clients
        self.names = {}
        self.seen = <int64_t*>usage_calloc(clients.table.capacity, sizeof(int64_t))
        if self.seen == NULL:
            raise MemoryError("no memory for the usage of clients")

    def __dealloc__(self):
        usage_free(self.seen)

    def take(self):
        cdef Clients* t = &self.clients.table
        cdef uint32_t word
        cdef uint64_t rows, bit
        groups = {row: name for name, row in self.clients.group_rows.items()}
        found = []
        for word in range(t.uncounted.words_n):
            # Those of the control pass, and those that it has not seen yet.
            rows = activity_take(&t.uncounted, word)
            rows |= atomic_load_u64(&t.active.words[word])
            while rows:
                bit = rows & (~rows + 1)
                rows ^= bit
                sent = self.of_row(
                    word * ACTIVITY_WORD_BITS + word_lowest_bit(bit), groups)
                if sent is not None:
                    found.append(sent)
        return found

    cdef of_row(self, uint32_t row, dict groups):
        cdef Client* c = clients_at(&self.clients.table, row)
        cdef int64_t before = self.seen[row]
        cdef int64_t total
        cdef RowCopy copy
        if atomic_load_i64(&c.bytes_total) == before:
            return None
        pthread_mutex_lock(&self.clients.table.mutex)
        copy_row(&self.clients.table, row, &copy)
        pthread_mutex_unlock(&self.clients.table.mutex)
        name = name_of(&copy)
        total = copy.client.bytes_total
        if total < before or self.names.get(row, name) != name:
            before = 0  # the row was given to another client
        self.seen[row] = total
        self.names[row] = name
        return Sent(
            name, total - before, groups.get(copy.client.parent),
            copy.client.source == SOURCE_DEFAULT and row != CLIENT_OVERFLOW,
            copy.client.cap_bps)


cdef class HeldRow:
    """A row that stays with its client until ``release``, and its buckets."""
    cdef ClientTable clients   # keeps the memory of the row
    cdef Payer payer
    cdef bint held

    def __cinit__(self, ClientTable clients, client_id):
        row = clients.row_for(client_id)
        self.held = False
        self.clients = clients
        payer_join(&self.payer, &clients.table, row, clock_monotonic_ns())
        self.held = True
        clients.let_go(row)  # held is enough

    def __dealloc__(self):
        if self.held:
            payer_leave(&self.payer)

    def quantum_bytes(self):
        return payer_quantum(&self.payer)

    def take(self, int64_t n_bytes):
        if not 1 <= n_bytes <= BUCKET_QUANTUM_MAX_BYTES:
            raise ValueError(
                f"{n_bytes} bytes can not be taken at once: 1 to "
                f"{BUCKET_QUANTUM_MAX_BYTES} can")
        return payer_take(&self.payer, n_bytes, clock_monotonic_ns())

    def refund(self, int64_t n_bytes):
        payer_refund(&self.payer, n_bytes)

    def settle(self, int64_t n_bytes):
        payer_settle(&self.payer, n_bytes, clock_monotonic_ns())

    def release(self):
        if self.held:
            self.held = False
            payer_leave(&self.payer)
