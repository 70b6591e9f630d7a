"""ClientTable: clients, groups and their limits, seen from Python."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc as table_calloc, free as table_free
from libc.string cimport memcpy

from allowance cimport allowance_init, allowance_limit_bps, allowance_shape
from bucket cimport bucket_set_rate
from c_atomic cimport atomic_load_i64, atomic_load_u32, atomic_store_i64
from c_pthread cimport pthread_mutex_lock, pthread_mutex_unlock
from c_time cimport clock_monotonic_ns
from clients cimport (
    CLIENT_FIRST, CLIENT_GROUPS, CLIENT_OVERFLOW, CLIENT_SERVER, LIMITER_NONE,
    LIMITER_QUOTA, LIMITER_SCHEDULE, SOURCE_API, SOURCE_DEFAULT, SOURCE_FILE, Client,
    Clients, clients_add, clients_at, clients_cap_bps, clients_free, clients_id,
    clients_init, row_is_node,
)
from keymap cimport (
    KEY_TOKEN, KEYMAP_NO_ROW, Key, key_zero, keymap_find, keymap_set,
)
from tree cimport Tree, tree_free, tree_init, tree_look, tree_pass

import secrets

CLIENT_ROWS_MAX = 1 << 22
MAX_GROUPS = CLIENT_OVERFLOW - CLIENT_GROUPS
SOURCES = {SOURCE_DEFAULT: "default", SOURCE_FILE: "file", SOURCE_API: "api"}
SOURCE_NUMBERS = {name: number for number, name in SOURCES.items()}
CAPS = {None: LIMITER_NONE, "schedule": LIMITER_SCHEDULE, "quota": LIMITER_QUOTA}


class SharePass(NamedTuple):
    active: int
    backlogged: int
    raised: int


cdef class ClientTable:
    cdef Clients table
    cdef Tree* tree
    cdef list engines          # to be told of changed limits
    cdef dict tokens           # digest -> client id, as configured last
    cdef dict group_rows       # name -> row
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
        self.group_rows = {}
        self.version = 1
        rc = clients_init(
            &self.table, rows, default_rate_bps, total_rate_bps,
            <uint64_t>secrets.randbits(64), clock_monotonic_ns())
        self.tree = <Tree*>table_calloc(1, sizeof(Tree))
        if rc < 0 or self.tree == NULL:
            raise MemoryError("the client table could not be mapped")
        if tree_init(self.tree, self.table.capacity, clock_monotonic_ns()) < 0:
            raise MemoryError("the client table could not be mapped")
        tree_look(self.tree, &self.table)

    def __dealloc__(self):
        if self.tree != NULL:
            tree_free(self.tree, self.table.capacity)
        table_free(self.tree)
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

    cdef int64_t row_of(self, str client_id, bytes raw) except -2:
        """The row, made if need be; -1 when the table is full."""
        cdef Key key
        cdef int64_t row
        key_of_name(&key, raw, parsed_address(client_id))
        pthread_mutex_lock(&self.table.mutex)
        row = keymap_find(&self.table.keys, &key)
        if row == KEYMAP_NO_ROW:
            row = clients_add(&self.table, &key, clock_monotonic_ns())
            if row >= 0:
                self.put_id(<uint32_t>row, raw)
        pthread_mutex_unlock(&self.table.mutex)
        return row if row >= 0 else -1

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
        c.parent = parent
        c.source = source
        self.put_rate(row)

    cdef void put_rate(self, uint32_t row) noexcept:
        cdef Client* c = clients_at(&self.table, row)
        allowance_shape(&c.allowed, &c.bucket)
        bucket_set_rate(
            &c.bucket,
            allowance_limit_bps(&c.allowed, clients_cap_bps(&self.table, row)),
            clock_monotonic_ns())
        if row_is_node(row):
            tree_look(self.tree, &self.table)

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

    def set_rate(self, client_id, rate_bps):
        checked_id(client_id)
        checked_rate(rate_bps, "target_bps", False)
        row = self.row_for(client_id)
        allowed = loaded_allowance(&self.table.rows[<uint32_t>row].allowed)
        ceil = allowed.ceil_bps if allowed.ceil_bps >= rate_bps else 0
        self.put(
            row, Allowance(rate_bps, ceil, min(allowed.min_bps, rate_bps),
                           allowed.weight),
            self.table.rows[<uint32_t>row].parent, SOURCE_API)
        return self.changed(row)

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

    def set_client(self, client_id, allowed, group, source):
        checked_id(client_id)
        checked_allowance(allowed, "")
        parent = self.parent_row(group)
        row = self.row_for(client_id)
        self.put(row, allowed, parent, SOURCE_NUMBERS[source])
        return self.changed(row)

    def set_group(self, name, allowed, source):
        checked_allowance(allowed, "")
        row = self.group_row_for(name)
        self.put(row, allowed, CLIENT_SERVER, SOURCE_NUMBERS[source])
        return self.changed(row)

    def group_row_for(self, name):
        if name in self.group_rows:
            return self.group_rows[name]
        raw = checked_id(name)
        used = set(self.group_rows.values())
        free = set(range(CLIENT_GROUPS, CLIENT_OVERFLOW)) - used
        if not free:
            raise OverflowError(f"there are {MAX_GROUPS} groups already")
        row = min(free)
        self.put_id(row, raw)
        self.group_rows[name] = row
        return row

    def drop_group(self, name):
        cdef uint32_t row, member
        if name not in self.group_rows:
            raise ValueError(f"group: there is no group {name!r}")
        row = self.group_rows.pop(name)
        self.put_cap(row, 0, LIMITER_NONE)
        pthread_mutex_lock(&self.table.mutex)
        if self.table.default_group == row:
            self.table.default_group = CLIENT_SERVER
        pthread_mutex_unlock(&self.table.mutex)
        for member in range(CLIENT_OVERFLOW, atomic_load_u32(&self.table.used)):
            if self.table.rows[member].parent == row:
                self.table.rows[member].parent = CLIENT_SERVER
        self.put(row, Allowance(), CLIENT_SERVER, SOURCE_DEFAULT)
        return self.changed(row)

    def configure(self, *, default, total, groups=(), clients=(), default_group=None):
        wanted = [self.checked_client(entry) for entry in clients]
        self.check_nodes(default, total, groups, default_group, wanted)
        new_rows = sum(1 for entry in wanted if self.number_of(entry.client_id) is None)
        if self.rows_used + new_rows > self.row_limit:
            raise OverflowError(
                f"{new_rows} more clients do not fit: {self.rows_used} of "
                f"{self.row_limit} rows are in use")
        self.apply_nodes(total, groups)
        self.apply_defaults(default, default_group)
        listed = {self.apply_client(entry) for entry in wanted}
        self.apply_default_class(listed)
        self.apply_tokens(wanted)
        return self.changed()

    def check_nodes(self, default, total, groups, default_group, wanted):
        checked_allowance(default, "default.")
        checked_rate(total.rate_bps, "total.rate_bps", True)
        known = {group.name for group in groups}
        kept = {n for n, r in self.group_rows.items() if self.group_is_kept(r)}
        for group in groups:
            checked_id(group.name)
            checked_allowance(group.allowed, f"groups.{group.name}.")
        for name in {default_group, *(entry.group for entry in wanted)} - {None}:
            if name not in known | kept:
                raise ValueError(f"group: there is no group {name!r}")
        if len(known | kept) > MAX_GROUPS:
            raise OverflowError(
                f"{len(known | kept)} groups do not fit: {MAX_GROUPS} are possible")

    def group_is_kept(self, uint32_t row):
        """Made by the API: it stays when a file does not list it."""
        return self.table.rows[row].source == SOURCE_API

    def apply_nodes(self, total, groups):
        store_allowance(&self.table.rows[CLIENT_SERVER].allowed, total)
        self.put_rate(CLIENT_SERVER)
        listed = {group.name for group in groups}
        for name, row in list(self.group_rows.items()):
            if name not in listed and not self.group_is_kept(row):
                self.drop_group(name)
        for group in groups:
            self.put(
                self.group_row_for(group.name), group.allowed, CLIENT_SERVER,
                SOURCE_FILE)

    def checked_client(self, entry):
        checked_id(entry.client_id)
        if entry.allowed is not None:
            checked_allowance(entry.allowed, f"clients.{entry.client_id}.")
        for digest in entry.token_digests:
            if type(digest) is not bytes or len(digest) != 32:
                raise ValueError(
                    f"clients.{entry.client_id}.token_sha256: a SHA-256 has 32 bytes")
        return entry

    def apply_defaults(self, allowed, default_group):
        # Rows are added under the mutex: one with the old default is counted in
        # ``used`` by now, and apply_default_class will see it.
        pthread_mutex_lock(&self.table.mutex)
        store_allowance(&self.table.default_allowed, allowed)
        self.table.default_group = self.parent_row(default_group)
        pthread_mutex_unlock(&self.table.mutex)
        self.put(
            CLIENT_OVERFLOW, allowed, self.table.default_group, SOURCE_DEFAULT)

    def apply_client(self, entry):
        """Give a listed client what the file says; where that is nothing, an override
        by API stays."""
        row = self.row_for(entry.client_id)  # addresses may have taken the last rows
        if entry.allowed is None and entry.group is None:
            return None
        allowed = entry.allowed or loaded_allowance(&self.table.default_allowed)
        self.put(row, allowed, self.parent_row(entry.group), SOURCE_FILE)
        return row

    def apply_default_class(self, set listed):
        cdef uint32_t row
        allowed = loaded_allowance(&self.table.default_allowed)
        for row in range(CLIENT_FIRST, atomic_load_u32(&self.table.used)):
            if row in listed or self.table.rows[row].source == SOURCE_API:
                continue
            self.put(row, allowed, self.table.default_group, SOURCE_DEFAULT)

    def apply_tokens(self, wanted):
        listed = {d: entry.client_id for entry in wanted for d in entry.token_digests}
        for digest in set(self.tokens) - set(listed):
            self.bind_token(digest, KEYMAP_NO_ROW)
        for digest, client_id in listed.items():
            self.bind_token(digest, <uint32_t>self.row_for(client_id))
        self.tokens = listed

    cdef int bind_token(self, bytes digest, uint32_t row) except -1:
        cdef Key key
        cdef int rc
        key_zero(&key, KEY_TOKEN)
        memcpy(key.bytes, PyBytes_AS_STRING(digest), 32)
        pthread_mutex_lock(&self.table.mutex)
        rc = keymap_set(&self.table.keys, &key, row)
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

    def set_cap(self, client_id, cap_bps, by=None):
        checked_rate(cap_bps, "cap_bps", True)
        self.put_cap(self.row_for(client_id), cap_bps, CAPS[by])

    def set_group_cap(self, name, cap_bps, by=None):
        checked_rate(cap_bps, "cap_bps", True)
        row = self.parent_row(name)
        self.put_cap(row, cap_bps, CAPS[by])

    def set_total_cap(self, cap_bps, by=None):
        checked_rate(cap_bps, "cap_bps", True)
        self.put_cap(CLIENT_SERVER, cap_bps, CAPS[by])

    def set_default_cap(self, cap_bps, by=None):
        cdef uint32_t row
        checked_rate(cap_bps, "cap_bps", True)
        self.table.default_cap_by = CAPS[by]
        atomic_store_i64(&self.table.default_cap_bps, cap_bps)
        for row in range(CLIENT_OVERFLOW, atomic_load_u32(&self.table.used)):
            if self.table.rows[row].source == SOURCE_DEFAULT:
                self.put_rate(row)
        tree_look(self.tree, &self.table)
        self.retime(())

    def usage(self):
        return Usage(self)

    def hold(self, client_id):
        return HeldRow(self, client_id)

    def share(self):
        cdef uint32_t i
        with nogil:
            tree_pass(self.tree, &self.table, clock_monotonic_ns())
        for i in range(self.tree.raised_n):
            for engine in self.engines:
                (<Engine>engine).retime(self.tree.raised[i])
        return SharePass(
            self.tree.members_n, self.tree.backlogged_n, self.tree.raised_n)

    def snapshot(self):
        cdef int64_t now = clock_monotonic_ns()
        cdef uint32_t used = atomic_load_u32(&self.table.used)
        first = CLIENT_OVERFLOW if self.overflow_total else CLIENT_FIRST
        names = {row: name for name, row in self.group_rows.items()}
        return [
            client_row(&self.table, row, names, now) for row in range(first, used)]

    def set_explain(self, explain):
        self.table.explains = bool(explain)

    def number_of(self, client_id):
        """The row, or None."""
        cdef Key key
        cdef uint32_t row
        key_of_name(&key, checked_id(client_id), parsed_address(client_id))
        row = keymap_find(&self.table.keys, &key)
        return None if row == KEYMAP_NO_ROW else row

    def find(self, client_id):
        row = self.number_of(client_id)
        if row is None:
            return None
        names = {r: name for name, r in self.group_rows.items()}
        return client_row(&self.table, row, names, clock_monotonic_ns())

    def groups(self):
        cdef int64_t now = clock_monotonic_ns()
        return [
            group_row(&self.table, self.tree, name, row, now)
            for name, row in sorted(self.group_rows.items())]
