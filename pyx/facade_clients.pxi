"""ClientTable: clients, groups and their limits, seen from Python."""

from libc.stdint cimport int64_t, uint32_t

from c_atomic cimport atomic_store_i64
from c_pthread cimport pthread_mutex_lock, pthread_mutex_unlock
from c_time cimport clock_monotonic_ns
from clients cimport (
    CLIENT_FIRST, CLIENT_GROUPS, CLIENT_OVERFLOW, CLIENT_SERVER, LIMITER_NONE,
    LIMITER_POLICY, LIMITER_QUOTA, LIMITER_SCHEDULE, SOURCE_API, SOURCE_DEFAULT,
    SOURCE_FILE,
)
from feedback cimport feedback_pass
from keymap cimport KEYMAP_NO_ROW
from tree cimport tree_look, tree_pass

MAX_GROUPS = CLIENT_OVERFLOW - CLIENT_GROUPS
SOURCE_NUMBERS = {name: number for number, name in SOURCES.items()}
CAPS = {
    None: LIMITER_NONE, "schedule": LIMITER_SCHEDULE, "quota": LIMITER_QUOTA,
    "policy": LIMITER_POLICY}


class SharePass(NamedTuple):
    active: int
    backlogged: int
    raised: int


cdef class ClientTable(FeedbackTable):
    def set_rate(self, client_id, rate_bps):
        checked_id(client_id)
        checked_rate(rate_bps, "target_bps", False)
        row = self.row_for(client_id)
        allowed = loaded_allowance(&self.table.rows[<uint32_t>row].allowed)
        ceil = allowed.ceil_bps if allowed.ceil_bps >= rate_bps else 0
        self.put(
            row, Allowance(rate_bps, ceil, min(allowed.min_bps, rate_bps),
                           allowed.weight, mode=allowed.mode),
            self.table.rows[<uint32_t>row].parent, SOURCE_API)
        return self.changed(row)

    def set_client(self, client_id, allowed, group, source):
        checked_id(client_id)
        checked_allowance(allowed, "")
        parent = self.parent_row(group)
        row = self.row_for(client_id)
        if source == "default":  # whatever network it comes from
            self.put_default(row)
        else:
            self.put(row, allowed, parent, SOURCE_NUMBERS[source])
        self.let_go(row)
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
        # Before its members leave, so that nobody joins it any more.
        self.tell_apart(self.rules._replace(
            groups=[entry for entry in self.rules.groups if entry[1] != name]))
        for member in range(CLIENT_OVERFLOW, self.rows_end()):
            pthread_mutex_lock(&self.table.mutex)
            if self.table.rows[member].parent == row:
                self.table.rows[member].parent = CLIENT_SERVER
            pthread_mutex_unlock(&self.table.mutex)
        self.put(row, Allowance(), CLIENT_SERVER, SOURCE_DEFAULT)
        return self.changed(row)

    def configure(
        self, *, default, total, groups=(), clients=(), default_group=None,
        identity=None,
    ):
        wanted = [self.checked_client(entry) for entry in clients]
        rules = checked_rules(identity or IdentityRules())
        self.check_nodes(default, total, groups, default_group, wanted)
        self.check_rules(rules, groups, wanted)
        self.check_tokens(wanted)
        listed = self.rows_for(wanted)
        self.apply_nodes(total, groups)
        self.apply_defaults(default, default_group)
        limited = {self.apply_client(entry) for entry in wanted}
        self.tell_apart(rules)
        self.apply_tokens(wanted)
        self.listed = listed
        self.apply_default_class(limited)
        return self.changed()

    def rows_for(self, wanted):
        """The rows of all clients that a configuration lists, or OverflowError and no
        change."""
        rows = set()
        for entry in wanted:
            row = self.row_of(entry.client_id, checked_id(entry.client_id))
            if row < 0:
                for taken in rows:
                    self.let_go(taken)
                raise OverflowError(
                    f"{len(wanted)} clients do not fit: of {self.row_limit} rows, only "
                    f"those that are idle and not named are free for them")
            rows.add(row)
        return rows

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

    def check_rules(self, rules, groups, wanted):
        known = {group.name for group in groups}
        for name in {name for _, name in rules.groups} - known:
            raise ValueError(f"identity.groups: there is no group {name!r}")
        known = {entry.client_id for entry in wanted}
        for name in {name for _, name in rules.clients} - known:
            raise ValueError(f"identity.clients: there is no client {name!r}")

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
        # Under the mutex, lest a row is added with half of it. One that has the old
        # default is seen by apply_default_class (``rows_end``).
        pthread_mutex_lock(&self.table.mutex)
        store_allowance(&self.table.default_allowed, allowed)
        self.sense(&self.table.default_allowed)
        self.table.default_group = self.parent_row(default_group)
        pthread_mutex_unlock(&self.table.mutex)
        self.put(
            CLIENT_OVERFLOW, allowed, self.table.default_group, SOURCE_DEFAULT)

    def apply_client(self, entry):
        """Give a listed client what the file says; where that is nothing, an override
        by API stays."""
        row = self.row_for(entry.client_id)
        if entry.allowed is None and entry.group is None:
            return None
        allowed = entry.allowed or loaded_allowance(&self.table.default_allowed)
        self.put(row, allowed, self.parent_row(entry.group), SOURCE_FILE)
        return row

    def apply_default_class(self, set limited):
        """For all others. Each under the mutex, lest it goes to another client."""
        cdef uint32_t row
        cdef bint is_limited, is_listed
        for row in range(CLIENT_FIRST, self.rows_end()):
            is_limited, is_listed = row in limited, row in self.listed
            pthread_mutex_lock(&self.table.mutex)
            if not is_limited and self.table.rows[row].source != SOURCE_API:
                self.put_default(row)
            self.put_named(row, is_listed)
            pthread_mutex_unlock(&self.table.mutex)

    def check_tokens(self, wanted):
        """Those that were taken back keep their places in the map."""
        most = self.table.tokens.capacity - self.table.tokens.capacity // 4
        new = {d for entry in wanted for d in entry.token_digests} - self.bound
        if len(self.bound) + len(new) > most:
            raise OverflowError(
                f"{len(new)} more tokens do not fit: {len(self.bound)} of {most} were "
                "used since the start; a restart forgets those that were taken back")

    def apply_tokens(self, wanted):
        listed = {d: entry.client_id for entry in wanted for d in entry.token_digests}
        for digest in set(self.tokens) - set(listed):
            self.bind_token(digest, KEYMAP_NO_ROW)
        for digest, client_id in listed.items():
            self.bound.add(digest)
            self.bind_token(digest, <uint32_t>self.row_for(client_id))
        self.tokens = listed

    def set_cap(self, client_id, cap_bps, by=None):
        checked_rate(cap_bps, "cap_bps", True)
        row = self.row_for(client_id)
        self.put_cap(row, cap_bps, CAPS[by])
        self.let_go(row)

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
        for row in range(CLIENT_OVERFLOW, self.rows_end()):
            if self.table.rows[row].source == SOURCE_DEFAULT:
                self.put_rate(row)
        tree_look(self.tree, &self.table)
        self.retime(())

    def usage(self):
        return Usage(self)

    def ranking(self, most):
        return ClientRanking(self, most)

    def hold(self, client_id):
        return HeldRow(self, client_id)

    def share(self):
        cdef uint32_t i
        with nogil:
            tree_pass(self.tree, &self.table, clock_monotonic_ns())
            feedback_pass(
                self.feedback_state, self.tree, &self.table, clock_monotonic_ns())
        if self.tree.raised_all:
            self.retime(())
        elif self.tree.raised_n:
            self.retime([self.tree.raised[i] for i in range(self.tree.raised_n)])
        return SharePass(
            self.tree.members_n, self.tree.backlogged_n, self.tree.raised_n)

    def set_pace(self, pace):
        self.table.paces = bool(pace)

    def set_explain(self, explain):
        self.table.explains = bool(explain)
