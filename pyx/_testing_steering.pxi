# One client whose network a test plays: the control pass of the controllers, on a clock
# that the test turns.

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc as steering_calloc, free as steering_free
from libc.string cimport memset

from activity cimport activity_mark
from breaker cimport breaker_release as steered_release
from bucket cimport bucket_charge, bucket_fill_bytes
from c_tcpinfo cimport TCPINFO_ECN, tcpinfo
from clients cimport (
    CLIENT_FIRST, CLIENT_OVERFLOW, CLIENT_SERVER, Client, Clients, clients_at,
    clients_cap_bps, clients_free, clients_init, key_from_v4,
)
from feed cimport Feed
from feedback cimport Feedback, feedback_free, feedback_init, feedback_pass
from finding cimport clients_hold_address, clients_leave
from holders cimport HOLD_TRANSFER
from keymap cimport Key as SteeredKey
from limiter cimport LIMITER_NAMES, limiter_of_tokens
from moved cimport moved_count
from sense cimport (
    Sense, sense_begin, sense_first, sense_forget, sense_lose, sense_take,
)
from tree cimport Tree, tree_free, tree_init, tree_look, tree_pass

STEERED_STATES = ("closed", "degraded", "half_open", "frozen")


cdef class SteeredClient:
    """The first client of a table of ``rows``; ``mode`` is a FeedMode."""
    cdef Clients table
    cdef Tree* tree
    cdef Feedback* feedback
    cdef readonly uint32_t row
    cdef bint waits

    def __cinit__(
        self, int64_t rate_bps, uint8_t mode, int64_t now_ns, uint32_t rows=4,
        int64_t total_bps=0,
    ):
        self.tree = <Tree*>steering_calloc(1, sizeof(Tree))
        self.feedback = <Feedback*>steering_calloc(1, sizeof(Feedback))
        if (clients_init(&self.table, rows, rate_bps, total_bps, 1, now_ns) < 0
                or tree_init(self.tree, self.table.capacity, now_ns) < 0
                or feedback_init(self.feedback, self.table.capacity) < 0):
            raise MemoryError
        self.table.default_allowed.mode = mode
        self.table.senses = mode != 0
        tree_look(self.tree, &self.table)
        self.row = self.hold(1, now_ns)

    def __dealloc__(self):
        tree_free(self.tree, self.table.capacity)
        feedback_free(self.feedback, self.table.capacity)
        clients_free(&self.table)
        steering_free(self.tree)
        steering_free(self.feedback)

    cdef Feed* feed(self):
        return &self.table.feeds[self.row]

    def hold(self, uint32_t number, int64_t now_ns):
        """The row of another client, held for a transfer; that of all for whom there is
        none: None."""
        cdef SteeredKey key
        key_from_v4(&key, &number)
        row = clients_hold_address(&self.table, &key, HOLD_TRANSFER, now_ns)
        return None if row == CLIENT_OVERFLOW else row

    def leave(self, uint32_t row):
        clients_leave(&self.table, row, HOLD_TRANSFER)

    def send(self, int64_t n_bytes, int64_t now_ns):
        moved_count(&self.table, self.row, n_bytes, now_ns)

    def spend(self, int64_t n_bytes, int64_t now_ns):
        """Sent, and paid for from its bucket."""
        bucket_charge(&clients_at(&self.table, self.row).bucket, n_bytes, now_ns)
        moved_count(&self.table, self.row, n_bytes, now_ns)

    def wait(self, bint waits):
        """Whether a transfer is parked."""
        clients_at(&self.table, self.row).parked += <int>waits - <int>self.waits
        self.waits = waits

    def network(
        self, int64_t segments, int64_t retrans=0, int64_t marked=0, int64_t rtt_ns=0,
        int64_t estimate_bps=0,
    ):
        """What engines add to its signals."""
        cdef Feed* f = self.feed()
        f.signals.segments += segments
        f.signals.retrans += retrans
        f.signals.marked += marked
        f.signals.mss_bytes = 1448
        if rtt_ns:
            f.signals.srtt_ns = f.signals.min_rtt_ns = rtt_ns
        if estimate_bps:
            f.signals.estimate_bps = estimate_bps

    def run(self, int64_t now_ns):
        """One control pass."""
        if self.waits:
            activity_mark(&self.table.short_of, self.row)
        tree_pass(self.tree, &self.table, now_ns)
        feedback_pass(self.feedback, self.tree, &self.table, now_ns)

    def allow(self, int64_t rate_bps, uint8_t mode, int64_t ceil_bps=0):
        """Configure it anew."""
        cdef Client* c = clients_at(&self.table, self.row)
        c.allowed.rate_bps = rate_bps
        c.allowed.mode = mode
        c.allowed.ceil_bps = ceil_bps

    def total_cap(self, int64_t cap_bps):
        """Of the server: while there is one, the tree divides."""
        clients_at(&self.table, CLIENT_SERVER).cap_bps = cap_bps
        tree_look(self.tree, &self.table)

    def cap(self, int64_t cap_bps):
        clients_at(&self.table, self.row).cap_bps = cap_bps

    def release(self, int64_t now_ns):
        return steered_release(&self.feed().breaker, now_ns)

    def seen(self, int64_t now_ns):
        cdef Feed* f = self.feed()
        cdef Client* c = clients_at(&self.table, self.row)
        return {
            "followed": bool(f.followed), "target": f.adaptive.target_bps,
            "adaptive": f.target_bps, "controller": f.controller_bps,
            "breaker": f.breaker_bps, "state": STEERED_STATES[f.breaker.state],
            "limit": f.limit_bps, "cap": clients_cap_bps(&self.table, self.row),
            "runs_at": c.bucket.rate_bps, "alarmed": self.table.alarmed,
            "fill": bucket_fill_bytes(&c.bucket, now_ns), "loss": f.loss,
            "limited_by": LIMITER_NAMES[
                limiter_of_tokens(&self.table, self.row)].decode()}

    def changes(self):
        """(kind, change, before, after) of what was noted; forgets it."""
        cdef uint32_t i
        found = []
        for i in range(self.feedback.log.n):
            entry = &self.feedback.log.entries[i]
            found.append(
                (entry.kind, entry.change, entry.before_bps, entry.after_bps))
        self.feedback.log.n = 0
        return found

    @property
    def first(self):
        return CLIENT_FIRST


cdef class SensedConnection:
    """One connection's Sense and the signals of its client."""
    cdef Sense sense
    cdef Feed client

    def begin(self, int64_t now_ns, bint first=True, uint32_t client=7,
              uint32_t generation=1, **counted):
        cdef tcpinfo info
        self.fill(&info, counted)
        if first:
            sense_first(&self.sense, client, generation)
        sense_begin(&self.sense, client, generation, &info, now_ns)

    cdef int fill(self, tcpinfo* info, dict counted) except -1:
        memset(info, 0, sizeof(tcpinfo))
        info.rtt_us = counted.get("rtt_us", 20000)
        info.min_rtt_us = counted.get("min_rtt_us", 20000)
        info.snd_mss = 1448
        info.bytes_acked = counted.get("acked", 0)
        info.data_segs_out = counted.get("segments", 0)
        info.total_retrans = counted.get("retrans", 0)
        info.bytes_retrans = counted.get(
            "bytes_retrans", info.total_retrans * info.snd_mss)
        info.delivered_ce = counted.get("marked", 0)
        info.options = TCPINFO_ECN if counted.get("ecn") else 0
        info.app_limited = counted.get("app_limited", False)
        return 0

    def take(self, int64_t now_ns, bint limited=False, **counted):
        cdef tcpinfo info
        cdef Clients table
        self.fill(&info, counted)
        clients_init(&table, 1, 0, 0, 1, 0)
        sense_take(
            &self.sense, &table.feed_rules.estimator, &self.client.signals, &info,
            limited, now_ns)
        clients_free(&table)

    def lose(self):
        sense_lose(&self.sense)

    def forget(self):
        sense_forget(&self.sense, &self.client.signals)

    def signals(self):
        s = &self.client.signals
        return {
            "segments": s.segments, "retrans": s.retrans, "marked": s.marked,
            "acked": s.acked_bytes, "estimate": s.estimate_bps, "srtt": s.srtt_ns,
            "min_rtt": s.min_rtt_ns, "mss": s.mss_bytes, "ecn": bool(s.ecn)}
