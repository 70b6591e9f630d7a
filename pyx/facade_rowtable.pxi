"""RowTable: the client table, its rows made, named, changed and seen from Python."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc as table_calloc, free as table_free
from libc.string cimport memcpy

from allowance cimport allowance_limit_bps, allowance_shape
from bucket cimport bucket_set_rate
from c_atomic cimport (
    atomic_load_i64, atomic_load_u32, atomic_store_ptr, atomic_store_u32,
)
from c_pthread cimport pthread_mutex_lock, pthread_mutex_unlock
from c_time cimport clock_monotonic_ns
from clients cimport (
    CLIENT_FIRST, CLIENT_OVERFLOW, CLIENT_SERVER, SOURCE_API, SOURCE_DEFAULT,
    SOURCE_FILE, Client, Clients, client_name, clients_at, clients_cap_bps,
    clients_free, clients_id, clients_init, row_is_node,
)
from feedback cimport Feedback, feedback_free, feedback_init
from finding cimport NO_ROW, clients_add, clients_find, clients_parent
from keymap cimport KEY_TOKEN, Key, key_zero, keymap_set
from tree cimport Tree, tree_free, tree_init, tree_look

import secrets

CLIENT_ROWS_MAX = 1 << 22
SOURCES = {SOURCE_DEFAULT: "default", SOURCE_FILE: "file", SOURCE_API: "api"}


cdef class RowTable:
    cdef Clients table
    cdef Tree* tree
    cdef Feedback* feedback_state
    cdef list engines          # to be told of changed limits
    cdef dict tokens           # digest -> client id, as configured last
    cdef set bound             # digests that were ever in the map
    cdef dict group_rows       # name -> row
    cdef set listed            # rows of which the file says something
    cdef IdentityTable identity
    cdef list retired          # earlier ones, with the version that replaced each
    cdef object rules          # of the identity
    cdef readonly int version

    def __cinit__(
        self, *, int rows=65536, default_rate_bps=0, total_rate_bps=0
    ):
        cdef int rc
        if not 1 <= rows <= CLIENT_ROWS_MAX:
            raise ValueError(f"rows: 1 to {CLIENT_ROWS_MAX} are possible, not {rows}")
        checked_rate(default_rate_bps, "default_rate_bps", True)
        checked_rate(total_rate_bps, "total_rate_bps", True)
        self.engines = []
        self.tokens = {}
        self.bound = set()
        self.group_rows = {}
        self.retired = []
        self.listed = set()
        self.version = 1
        rc = clients_init(
            &self.table, rows, default_rate_bps, total_rate_bps,
            <uint64_t>secrets.randbits(64), clock_monotonic_ns())
        self.tree = <Tree*>table_calloc(1, sizeof(Tree))
        self.feedback_state = <Feedback*>table_calloc(1, sizeof(Feedback))
        if rc < 0 or self.tree == NULL or self.feedback_state == NULL:
            raise MemoryError("the client table could not be mapped")
        if (tree_init(self.tree, self.table.capacity, clock_monotonic_ns()) < 0
                or feedback_init(self.feedback_state, self.table.capacity) < 0):
            raise MemoryError("the client table could not be mapped")
        tree_look(self.tree, &self.table)
        self.tell_apart(IdentityRules())

    def __dealloc__(self):
        if self.tree != NULL:
            tree_free(self.tree, self.table.capacity)
        table_free(self.tree)
        if self.feedback_state != NULL:
            feedback_free(self.feedback_state, self.table.capacity)
        table_free(self.feedback_state)
        clients_free(&self.table)

    @property
    def row_limit(self):
        return self.table.capacity - CLIENT_FIRST

    @property
    def rows_used(self):
        return atomic_load_u32(&self.table.used) - CLIENT_FIRST

    @property
    def overflow_total(self):
        return atomic_load_i64(&self.table.overflow_total)

    def default_rate_bps(self):
        return self.table.default_allowed.rate_bps

    def total_rate_bps(self):
        return atomic_load_i64(&self.table.rows[CLIENT_SERVER].bucket.rate_bps)

    @property
    def recycled_total(self):
        return self.table.recycled_total

    cdef int64_t row_of(self, str client_id, bytes raw) except -2:
        """The row, made if need be, and named from now on; -1: the table is full."""
        cdef Key key
        cdef uint32_t row
        key_of_name(&key, raw, parsed_address(client_id))
        pthread_mutex_lock(&self.table.mutex)
        row = clients_find(&self.table, &key)
        if row == NO_ROW:
            row = clients_add(&self.table, &key, clock_monotonic_ns())
            if row != NO_ROW:
                self.put_id(row, raw)
        if row != NO_ROW:
            client_name(clients_at(&self.table, row), True)
        pthread_mutex_unlock(&self.table.mutex)
        return -1 if row == NO_ROW else row

    cdef uint32_t rows_end(self) noexcept:
        """Behind the last row, for who gives all rows what has just changed.

        A row is added under the mutex, and gets what the table says then. One that is
        being added now, perhaps by what the table said before, is waited for and
        counted; one that is added later sees the new defaults.
        """
        cdef uint32_t end
        pthread_mutex_lock(&self.table.mutex)
        end = self.table.used
        pthread_mutex_unlock(&self.table.mutex)
        return end

    cdef void put_named(self, uint32_t row, bint listed) noexcept:
        """Keep its row for a client of whom something is said, and no other."""
        cdef Client* c = clients_at(&self.table, row)
        client_name(c, listed or c.source != SOURCE_DEFAULT or c.cap_bps != 0)

    cdef void put_id(self, uint32_t row, bytes raw) noexcept:
        clients_at(&self.table, row).id_n = <uint8_t>len(raw)
        memcpy(clients_id(&self.table, row), PyBytes_AS_STRING(raw), len(raw))

    cdef void put(
        self, uint32_t row, allowed, uint32_t parent, uint8_t source
    ) noexcept:
        """What a row may have from now on. The next control pass takes its part of what
        its parent has into account; until then it runs at its own limit."""
        cdef Client* c = clients_at(&self.table, row)
        store_allowance(&c.allowed, allowed)
        self.sense(&c.allowed)
        c.parent = parent
        c.source = source
        self.put_rate(row)

    cdef void sense(self, const AllowanceC* allowed) noexcept:
        """Engines ask the network once any client has a mode."""
        if allowed.mode:
            atomic_store_u32(&self.table.senses, 1)

    cdef void put_rate(self, uint32_t row) noexcept:
        cdef Client* c = clients_at(&self.table, row)
        allowance_shape(&c.allowed, &c.bucket)
        bucket_set_rate(
            &c.bucket,
            allowance_limit_bps(&c.allowed, clients_cap_bps(&self.table, row)),
            clock_monotonic_ns())
        if row_is_node(row):
            tree_look(self.tree, &self.table)

    cdef void put_default(self, uint32_t row) noexcept:
        cdef Client* c = clients_at(&self.table, row)
        c.allowed = self.table.default_allowed
        c.parent = clients_parent(&self.table, c)
        c.source = SOURCE_DEFAULT
        self.put_rate(row)

    def changed(self, *rows):
        """Count a change, and let those who wait in ``rows`` (none: in all) see it."""
        self.version += 1
        self.retime(rows)
        return self.version

    def retime(self, rows):
        for engine in self.engines:
            if not rows:
                (<Engine>engine).retime_all()
            for row in rows:
                (<Engine>engine).retime(<uint32_t>row)

    def row_for(self, client_id):
        """The row, made if need be.

        Raises OverflowError when there is no room.
        """
        row = self.row_of(client_id, checked_id(client_id))
        if row < 0:
            raise OverflowError(f"the client table is full ({self.row_limit} rows)")
        return row

    def parent_row(self, group):
        if group is None:
            return CLIENT_SERVER
        if group not in self.group_rows:
            raise ValueError(f"group: there is no group {group!r}")
        return self.group_rows[group]

    def let_go(self, uint32_t row):
        """Of a row that is named for no reason any more."""
        pthread_mutex_lock(&self.table.mutex)
        self.put_named(row, row in self.listed)
        pthread_mutex_unlock(&self.table.mutex)

    cdef int tell_apart(self, rules) except -1:
        """Clients are told apart by ``rules`` from the engines' next turn on."""
        cdef uint32_t version = self.identity.of.version + 1 if self.identity else 1
        cdef IdentityTable table = IdentityTable(rules, version)
        table.lead_to_groups(rules, self.group_rows)
        table.lead_to_clients(
            rules, &self.table, {i: self.row_for(i) for _, i in rules.clients})
        atomic_store_ptr(<void**>&self.table.identity, table.of)
        self.retired.append((version, self.identity))
        self.identity = table
        self.rules = rules
        self.retired = [
            (version, old) for version, old in self.retired
            if any((<Engine>e).looks_before(version) for e in self.engines)]
        return 0

    cdef int bind_token(self, bytes digest, uint32_t row) except -1:
        cdef Key key
        cdef int rc
        key_zero(&key, KEY_TOKEN)
        memcpy(key.bytes, PyBytes_AS_STRING(digest), 32)
        pthread_mutex_lock(&self.table.mutex)
        rc = keymap_set(&self.table.tokens, &key, row)
        pthread_mutex_unlock(&self.table.mutex)
        if rc < 0:
            raise OverflowError("no room for more tokens")
        return 0

    cdef void put_cap(self, uint32_t row, int64_t cap_bps, uint8_t by) noexcept:
        cdef Client* c = clients_at(&self.table, row)
        if c.cap_bps == cap_bps and c.cap_by == by:
            return
        c.cap_bps = cap_bps
        c.cap_by = by
        self.put_rate(row)
        self.retime([row])

    def snapshot(self):
        cdef int64_t now = clock_monotonic_ns()
        cdef uint32_t used = atomic_load_u32(&self.table.used)
        first = CLIENT_OVERFLOW if self.overflow_total else CLIENT_FIRST
        names = {row: name for name, row in self.group_rows.items()}
        rows = [self.seen_row(row, names, now) for row in range(first, used)]
        # One that lost its row meanwhile and came back has two.
        return list({row.client_id: row for row in rows}.values())

    def number_of(self, client_id):
        """The row, or None."""
        cdef Key key
        cdef uint32_t row
        key_of_name(&key, checked_id(client_id), parsed_address(client_id))
        pthread_mutex_lock(&self.table.mutex)
        row = clients_find(&self.table, &key)
        pthread_mutex_unlock(&self.table.mutex)
        return None if row == NO_ROW else row

    cdef void take_copy(self, uint32_t row, RowCopy* into) noexcept nogil:
        pthread_mutex_lock(&self.table.mutex)
        copy_row(&self.table, row, into)
        pthread_mutex_unlock(&self.table.mutex)

    cdef seen_row(self, uint32_t row, dict names, int64_t now):
        """Of one moment: meanwhile the row could go to another client."""
        cdef RowCopy copy
        self.take_copy(row, &copy)
        return client_row(&copy, names, now)

    def find(self, client_id):
        cdef Key key
        cdef RowCopy copy
        cdef uint32_t row
        key_of_name(&key, checked_id(client_id), parsed_address(client_id))
        pthread_mutex_lock(&self.table.mutex)
        row = clients_find(&self.table, &key)
        if row != NO_ROW:
            copy_row(&self.table, row, &copy)
        pthread_mutex_unlock(&self.table.mutex)
        if row == NO_ROW:
            return None
        names = {r: name for name, r in self.group_rows.items()}
        return client_row(&copy, names, clock_monotonic_ns())

    def groups(self):
        cdef int64_t now = clock_monotonic_ns()
        return [
            group_row(&self.table, self.tree, name, row, now)
            for name, row in sorted(self.group_rows.items())]

    cdef int64_t sent_bytes(self) noexcept:
        """Engines count for themselves, lest they share one more word that changes with
        every send. The server's row has what nobody counts who is still here."""
        cdef int64_t total = atomic_load_i64(
            &self.table.rows[CLIENT_SERVER].bytes_total)
        for engine in self.engines:
            total += (<Engine>engine).sent_bytes()
        return total

    def server(self):
        return server_row(
            &self.table, self.tree, self.sent_bytes(), clock_monotonic_ns())
