# A row that an engine is just adding to a real ClientTable, as long as a test wants.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from c_atomic cimport atomic_load_u32, atomic_store_u32
from c_pthread cimport pthread_mutex_lock, pthread_mutex_unlock
from c_time cimport clock_monotonic_ns
from clients cimport CLIENT_FIRST, Clients, key_from_v4
from finding cimport clients_add
from keymap cimport Key as AddedKey


cdef Clients* table_of(table) except NULL:
    """The first field of a ClientTable, behind the head that Cython gives a class."""
    cdef char* at = <char*><PyObject*>table
    cdef Clients* t = <Clients*>(at + sizeof(PyObject) + sizeof(void*))
    if t.capacity != CLIENT_FIRST + <uint32_t>table.row_limit:
        raise RuntimeError("a ClientTable is laid out differently")
    return t


cdef class SlowlyAddedRow:
    cdef uint32_t begun

    def add(self, table, uint32_t number, int64_t for_ns):
        """The row is there, by what the table says now, and it takes ``for_ns`` until
        it is counted. Without the GIL, as in an engine."""
        cdef Clients* t = table_of(table)
        cdef AddedKey key
        cdef uint32_t row
        cdef int64_t end_ns
        key_from_v4(&key, &number)
        with nogil:
            pthread_mutex_lock(&t.mutex)
            row = clients_add(t, &key, clock_monotonic_ns())
            atomic_store_u32(&t.used, row)
            atomic_store_u32(&self.begun, 1)
            end_ns = clock_monotonic_ns() + for_ns
            while clock_monotonic_ns() < end_ns:
                pass
            atomic_store_u32(&t.used, row + 1)
            pthread_mutex_unlock(&t.mutex)

    @property
    def has_begun(self):
        return bool(atomic_load_u32(&self.begun))
