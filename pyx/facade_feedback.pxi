"""FeedbackTable: the controllers of clients, seen from Python."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from adaptive cimport (
    ADAPTIVE_LOWERED, ADAPTIVE_RAISED, ADAPTIVE_RESET,
)
from breaker cimport (
    BREAKER_CLOSED, BREAKER_FROZEN, BREAKER_HALF_OPEN, BREAKER_STEPPED, BREAKER_THAWED,
    BREAKER_TRIPPED, breaker_release,
)
from dualloop cimport DUALLOOP_CE, DUALLOOP_LOSS
from feed cimport Feed, FeedRules
from feedlog cimport FEED_BREAKER, FEED_CONTROLLER, FEED_TARGET, FeedEntry

from penstock.feedback import FeedbackRules

FEED_CHANGES = {
    (FEED_TARGET, ADAPTIVE_RAISED): ("adaptive", "raised"),
    (FEED_TARGET, ADAPTIVE_LOWERED): ("adaptive", "lowered"),
    (FEED_TARGET, ADAPTIVE_RESET): ("adaptive", "reset"),
    (FEED_CONTROLLER, DUALLOOP_LOSS): ("controller", "loss"),
    (FEED_CONTROLLER, DUALLOOP_CE): ("controller", "ce"),
    (FEED_BREAKER, BREAKER_TRIPPED): ("breaker", "degraded"),
    (FEED_BREAKER, BREAKER_FROZEN): ("breaker", "frozen"),
    (FEED_BREAKER, BREAKER_THAWED): ("breaker", "thawed"),
    (FEED_BREAKER, BREAKER_HALF_OPEN): ("breaker", "half_open"),
    (FEED_BREAKER, BREAKER_STEPPED): ("breaker", "step"),
    (FEED_BREAKER, BREAKER_CLOSED): ("breaker", "closed"),
}


class FeedChange(NamedTuple):
    client_id: str
    kind: str
    change: str
    before_bps: int
    after_bps: int
    rate_bps: int
    mean_bps: int
    srtt_ns: int
    estimate_bps: int
    retrans: int
    marked: int
    loss: float


class FeedbackRow(NamedTuple):
    srtt_ns: int
    min_rtt_ns: int
    estimate_bps: int
    segments: int
    retrans: int
    marked: int
    ecn: bool
    loss: float
    window_bytes: int
    ssthresh_bytes: int
    raises: int
    trips: int


cdef class FeedbackTable(RowTable):
    cdef Feed* followed_feed(self, client_id) except? NULL:
        """NULL: no controller follows it."""
        cdef Feed* f
        row = self.number_of(client_id)
        if row is None or not self.table.senses:
            return NULL
        f = &self.table.feeds[<uint32_t>row]
        return f if f.followed else NULL

    def feedback(self, client_id):
        cdef Feed* f = self.followed_feed(client_id)
        if f == NULL:
            return None
        return FeedbackRow(
            atomic_load_i64(&f.signals.srtt_ns), f.min_rtt_ns,
            atomic_load_i64(&f.signals.estimate_bps),
            atomic_load_i64(&f.signals.segments), atomic_load_i64(&f.signals.retrans),
            atomic_load_i64(&f.signals.marked), bool(f.signals.ecn), f.loss,
            f.dualloop.window_bytes, f.dualloop.ssthresh_bytes, f.adaptive.raises,
            f.breaker.trips_n)

    def set_feedback(self, rules):
        cdef FeedRules* r = &self.table.feed_rules
        r.adaptive.floor_share = rules.adaptive_floor
        r.dualloop.loss_keeps = rules.controller_loss
        r.dualloop.ce_keeps = rules.controller_ecn
        r.breaker.bad_loss = rules.breaker_loss
        r.breaker.clean_loss = rules.breaker_clean_loss
        r.breaker.segments_least = rules.breaker_segments
        r.breaker.bad_samples = r.breaker.clean_samples = rules.breaker_samples
        r.breaker.degraded_share = r.breaker.steps[0] = rules.breaker_rate
        r.breaker.clean_ns = rules.breaker_clean_ns
        r.breaker.freeze_ns = rules.breaker_freeze_ns

    def feedback_rules(self):
        cdef const FeedRules* r = &self.table.feed_rules
        return FeedbackRules(
            r.adaptive.floor_share, r.dualloop.loss_keeps, r.dualloop.ce_keeps,
            r.breaker.bad_loss, r.breaker.clean_loss, r.breaker.segments_least,
            r.breaker.bad_samples, r.breaker.degraded_share, r.breaker.clean_ns,
            r.breaker.freeze_ns)

    def feedback_changes(self):
        cdef uint32_t i
        cdef FeedEntry* entry
        found = []
        for i in range(self.feedback_state.log.n):
            entry = &self.feedback_state.log.entries[i]
            found.append(FeedChange(
                self.name_of_row(entry.row), *FEED_CHANGES[entry.kind, entry.change],
                entry.before_bps, entry.after_bps, entry.rate_bps, entry.mean_bps,
                entry.srtt_ns, entry.estimate_bps, entry.retrans, entry.marked,
                entry.loss))
        self.feedback_state.log.n = 0
        return found

    @property
    def feedback_changes_lost(self):
        return self.feedback_state.log.dropped_total

    @property
    def followed(self):
        return self.feedback_state.rows_n

    def breaker_states(self):
        cdef uint32_t i
        counts = dict.fromkeys(BREAKERS, 0)
        for i in range(self.feedback_state.rows_n):
            counts[BREAKERS[
                self.table.feeds[self.feedback_state.rows[i]].breaker.state]] += 1
        return counts

    def release_breaker(self, client_id):
        """The next pass lets the bucket follow."""
        cdef Feed* f = self.followed_feed(client_id)
        return f != NULL and bool(breaker_release(
            &f.breaker, clock_monotonic_ns()) == BREAKER_CLOSED)

    cdef str name_of_row(self, uint32_t row):
        cdef RowCopy copy
        self.take_copy(row, &copy)
        return name_of(&copy)
