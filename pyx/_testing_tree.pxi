# The whole shaper on a clock that tests turn: buckets, queues, lines, wheels of several
# engines, and the control pass over the table that they share. Nothing is sent: a test
# says how much of a grant would have been.

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc as tree_calloc, free as tree_free_memory

from bucket cimport bucket_fill_bytes
from c_atomic cimport atomic_load_i32, atomic_load_i64
from clients cimport (
    CLIENT_GROUPS, CLIENT_OVERFLOW, CLIENT_SERVER, Client, Clients, client_start,
    clients_at, clients_free, clients_init, key_from_v4,
)
from conn cimport Conn
from engine cimport (
    Engine, engine_new_conn, engine_new_transfer, engine_next_runnable, engine_run_soon,
)
from finding cimport clients_add, clients_leave
from gate cimport (
    gate_cancel, gate_free, gate_init, gate_pass, gate_retime, gate_retime_all,
    gate_timer,
)
from grant cimport grant_return, grant_settle
from holders cimport HOLD_TRANSFER, holders_join
from keymap cimport Key
from message cimport Message
from pool cimport pool_free, pool_init
from runlist cimport runlist_free, runlist_init
from slab cimport slab_at, slab_free, slab_init
from transfer cimport TRANSFER_PARKED, Transfer
from tree cimport Tree, tree_free, tree_init, tree_look, tree_pass
from waterfill cimport Share, waterfill
from wheel cimport Timer, wheel_free, wheel_init, wheel_next_ns, wheel_pop

SIMULATED_GROUPS = CLIENT_GROUPS


def waterfilled(shares, double capacity):
    """``shares``: (weight, least, most) each. What each gets, and the level."""
    cdef uint32_t n = len(shares)
    cdef uint32_t i
    cdef double level
    cdef Share* s = <Share*>tree_calloc(max(n, 1), sizeof(Share))
    if s == NULL:
        raise MemoryError
    for i in range(n):
        s[i].weight, s[i].least, s[i].most = shares[i]
    level = waterfill(s, n, capacity)
    got = [s[i].got for i in range(n)]
    tree_free_memory(s)
    return got, level


cdef class Simulation:
    """``transfers`` of every engine belong to nobody until ``assign`` gives them to a
    client. Rows of clients are numbers from ``add_client``; groups are 1, 2 …"""
    cdef Clients table
    cdef Tree* tree
    cdef list engines
    cdef readonly int64_t now_ns

    def __cinit__(
        self, uint32_t clients, int engines, uint32_t transfers, int64_t now_ns=10**9
    ):
        self.now_ns = now_ns
        self.tree = <Tree*>tree_calloc(1, sizeof(Tree))
        if self.tree == NULL or clients_init(&self.table, clients, 0, 0, 1, now_ns) < 0:
            raise MemoryError
        if tree_init(self.tree, self.table.capacity, now_ns) < 0:
            raise MemoryError
        self.table.engines_n = engines
        self.engines = [
            SimulatedEngine.__new__(SimulatedEngine, self, transfers)
            for _ in range(engines)]

    def __dealloc__(self):
        if self.tree != NULL:
            tree_free(self.tree, self.table.capacity)
        tree_free_memory(self.tree)
        clients_free(&self.table)

    def engine(self, int i):
        return self.engines[i]

    def add_client(self):
        cdef Key key
        cdef uint32_t used = self.table.used
        key_from_v4(&key, &used)
        return clients_add(&self.table, &key, self.now_ns)

    def allow(
        self, uint32_t row, int64_t rate_bps=0, int64_t ceil_bps=0, int64_t min_bps=0,
        uint32_t weight=100, int64_t cap_bps=0, uint32_t group=0
    ):
        """As a configuration: the bucket starts again at what is allowed."""
        cdef Client* c = clients_at(&self.table, row)
        c.allowed.rate_bps = rate_bps
        c.allowed.ceil_bps = ceil_bps
        c.allowed.min_bps = min_bps
        c.allowed.weight = weight
        c.cap_bps = cap_bps
        c.parent = group
        client_start(c, cap_bps, self.now_ns)
        tree_look(self.tree, &self.table)

    def set_rate(self, uint32_t row, int64_t rate_bps):
        """A live change: fill and debt are kept, and who waits is timed anew."""
        cdef Client* c = clients_at(&self.table, row)
        c.allowed.rate_bps = rate_bps
        bucket_set_rate(&c.bucket, rate_bps, self.now_ns)
        for engine in self.engines:
            (<SimulatedEngine>engine).retime(row)

    def move(self, uint32_t row, uint32_t group):
        """To another group, live."""
        clients_at(&self.table, row).parent = group
        for engine in self.engines:
            (<SimulatedEngine>engine).retime(row)

    def share(self):
        """A control pass; its letters arrive at once."""
        cdef uint32_t i
        tree_pass(self.tree, &self.table, self.now_ns)
        for engine in self.engines:
            if self.tree.raised_all:
                (<SimulatedEngine>engine).retime_all()
            for i in range(self.tree.raised_n):
                (<SimulatedEngine>engine).retime(self.tree.raised[i])
        return self.tree.members_n

    def skip(self, int64_t to_ns):
        """Move all clocks on, to the next deadline or at most ``to_ns``, and fire what
        is due."""
        cdef int64_t next_ns = to_ns
        for engine in self.engines:
            next_ns = min(next_ns, (<SimulatedEngine>engine).next_ns())
        self.now_ns = max(self.now_ns, next_ns)
        for engine in self.engines:
            (<SimulatedEngine>engine).fire(self.now_ns)

    def row(self, uint32_t row):
        cdef Client* c = clients_at(&self.table, row)
        return {
            "rate_bps": atomic_load_i64(&c.bucket.rate_bps),
            "fill_bytes": bucket_fill_bytes(&c.bucket, self.now_ns),
            "bytes_total": atomic_load_i64(&c.bytes_total),
            "parked": atomic_load_i32(&c.parked),
            "queues": atomic_load_i32(&c.queues), "bound": c.bound}


cdef class SimulatedEngine:
    cdef Engine* e
    cdef uint32_t transfers

    def __cinit__(self, Simulation s, uint32_t transfers):
        cdef uint32_t i
        self.transfers = transfers
        self.e = <Engine*>tree_calloc(1, sizeof(Engine))
        if self.e == NULL:
            raise MemoryError
        self.e.now_ns = s.now_ns
        self.e.clients = &s.table
        if wheel_init(&self.e.wheel, s.now_ns) < 0 or gate_init(self.e) < 0:
            raise MemoryError
        if (slab_init(&self.e.conns, transfers, sizeof(Conn)) < 0
                or runlist_init(&self.e.runnable, transfers) < 0):
            raise MemoryError
        if (pool_init(&self.e.transfers, transfers, sizeof(Transfer), True) < 0
                or pool_init(&self.e.messages, transfers, sizeof(Message)) < 0):
            raise MemoryError
        for i in range(transfers):
            self.add()

    def __dealloc__(self):
        if self.e == NULL:
            return
        gate_free(self.e)
        runlist_free(&self.e.runnable)
        slab_free(&self.e.conns)
        pool_free(&self.e.transfers)
        pool_free(&self.e.messages)
        wheel_free(&self.e.wheel)
        tree_free_memory(self.e)

    cdef void add(self) noexcept:
        cdef Transfer* t = engine_new_transfer(self.e)
        cdef Conn* c = engine_new_conn(self.e, -1)
        t.conn = c
        t.total_bytes = 1 << 40
        c.transfer = t

    cdef Transfer* at(self, uint32_t i) noexcept:
        return (<Conn*>slab_at(&self.e.conns, i)).transfer

    cdef int64_t next_ns(self) noexcept:
        if self.e.wheel.count == 0:
            return <int64_t>1 << 62
        return wheel_next_ns(&self.e.wheel)

    cdef void fire(self, int64_t now_ns) noexcept:
        cdef Timer* timer
        self.e.now_ns = now_ns
        timer = wheel_pop(&self.e.wheel, now_ns)
        while timer != NULL:
            gate_timer(self.e, timer.owner)
            timer = wheel_pop(&self.e.wheel, now_ns)

    cdef void retime(self, uint32_t row) noexcept:
        gate_retime(self.e, row)

    cdef void retime_all(self) noexcept:
        gate_retime_all(self.e)

    def assign(self, uint32_t i, uint32_t row, int64_t total_bytes=1 << 40):
        """Transfer ``i`` begins, for the client of ``row``."""
        cdef Transfer* t = self.at(i)
        t.client = row
        t.total_bytes = total_bytes
        t.moved_bytes = 0
        holders_join(&clients_at(self.e.clients, row).holders, HOLD_TRANSFER)

    def ask(self, uint32_t i):
        """Bytes granted; 0: it is parked now."""
        cdef Transfer* t = self.at(i)
        return t.granted_bytes if gate_pass(self.e, t) else 0

    def granted(self):
        """Transfers that the gate let go on since, in turn: (number, bytes)."""
        cdef Conn* c = engine_next_runnable(self.e)
        found = []
        while c != NULL:
            found.append((c.slot, c.transfer.granted_bytes))
            c = engine_next_runnable(self.e)
        return found

    def settle(self, uint32_t i, int64_t moved):
        """So much reached the socket, and the rest of the grant goes back."""
        cdef Transfer* t = self.at(i)
        grant_settle(self.e, t, moved)
        t.moved_bytes += moved
        grant_return(self.e, t)

    def cancel(self, uint32_t i):
        """Its client disconnects, parked or not."""
        cdef Transfer* t = self.at(i)
        if t.state == TRANSFER_PARKED:
            gate_cancel(self.e, t)
        grant_return(self.e, t)
        clients_leave(self.e.clients, t.client, HOLD_TRANSFER)

    def moved(self, uint32_t i):
        return self.at(i).moved_bytes

    @property
    def waiting(self):
        """Parked transfers, armed timers, clients in the server's line."""
        return (
            self.e.counters.parked, self.e.wheel.count,
            self.e.lines[CLIENT_SERVER].waiting)
