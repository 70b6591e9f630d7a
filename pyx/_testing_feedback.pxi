# What makes limits adapt: each unit's rules and state in one class, on a manual clock.
# Rules are named by keyword; a sample is a dictionary with the fields of its struct.

from libc.stdint cimport int64_t

from adaptive cimport (
    ADAPTIVE_LOWERED, ADAPTIVE_NONE, ADAPTIVE_RAISED, ADAPTIVE_RESET, ADAPTIVE_SLOTS,
    Adaptive, AdaptiveRules, AdaptiveSlot, adaptive_idle, adaptive_init,
    adaptive_mean_bps, adaptive_rate_changed, adaptive_rules_init, adaptive_slot,
    adaptive_stock_low,
)
from breaker cimport (
    BREAKER_CLOSED, BREAKER_FROZEN, BREAKER_HALF_OPEN, BREAKER_IS_CLOSED,
    BREAKER_IS_DEGRADED, BREAKER_IS_FROZEN, BREAKER_IS_HALF_OPEN, BREAKER_NONE,
    BREAKER_STEPPED, BREAKER_THAWED, BREAKER_TRIPPED, Breaker, BreakerRules,
    breaker_init, breaker_limit_bps, breaker_release, breaker_rules_init,
    breaker_sample, breaker_tick,
)
from dualloop cimport (
    DUALLOOP_CE, DUALLOOP_EARLY, DUALLOOP_GREW, DUALLOOP_LOSS, DUALLOOP_NONE, DualLoop,
    DualLoopRules, DualLoopSample, dualloop_init, dualloop_rate_bps, dualloop_round,
    dualloop_rules_init,
)
from estimator cimport (
    Estimator, EstimatorRules, estimator_bps, estimator_init, estimator_rules_init,
    estimator_sample, estimator_window,
)

ADAPTIVE = {
    ADAPTIVE_NONE: "", ADAPTIVE_RAISED: "raised", ADAPTIVE_LOWERED: "lowered",
    ADAPTIVE_RESET: "reset"}
SLOTS = ADAPTIVE_SLOTS
BREAKER = {
    BREAKER_NONE: "", BREAKER_TRIPPED: "tripped", BREAKER_FROZEN: "frozen",
    BREAKER_THAWED: "thawed", BREAKER_HALF_OPEN: "half_open",
    BREAKER_STEPPED: "stepped", BREAKER_CLOSED: "closed"}
BREAKER_STATES = {
    BREAKER_IS_CLOSED: "closed", BREAKER_IS_DEGRADED: "degraded",
    BREAKER_IS_HALF_OPEN: "half_open", BREAKER_IS_FROZEN: "frozen"}
DUALLOOP = {
    DUALLOOP_NONE: "", DUALLOOP_EARLY: "early", DUALLOOP_GREW: "grew",
    DUALLOOP_LOSS: "loss", DUALLOOP_CE: "ce"}
ESTIMATOR_BYTES = sizeof(Estimator)


def stock_low(int64_t fill_bytes, int64_t capacity_bytes, int64_t quantum_bytes):
    return bool(adaptive_stock_low(fill_bytes, capacity_bytes, quantum_bytes))


cdef class AdaptiveTarget:
    cdef AdaptiveRules rules
    cdef Adaptive state

    def __cinit__(self, int64_t rate_bps, int64_t now_ns, **rules):
        adaptive_rules_init(&self.rules)
        self.rules = {**self.rules, **rules}
        adaptive_init(&self.state, rate_bps, now_ns)

    def slot(self, int64_t now_ns, slot):
        cdef AdaptiveSlot s = slot
        return ADAPTIVE[adaptive_slot(&self.state, &self.rules, &s, now_ns)]

    def rate_changed(self, int64_t rate_bps, int64_t now_ns):
        adaptive_rate_changed(&self.state, &self.rules, rate_bps, now_ns)

    def idle(self, int64_t now_ns):
        return ADAPTIVE[adaptive_idle(&self.state, &self.rules, now_ns)]

    @property
    def target_bps(self):
        return self.state.target_bps

    @property
    def mean_bps(self):
        return adaptive_mean_bps(&self.state)

    @property
    def raises(self):
        return self.state.raises


cdef class PathEstimate:
    cdef EstimatorRules rules
    cdef Estimator state

    def __cinit__(self, int64_t now_ns, **rules):
        estimator_rules_init(&self.rules)
        self.rules = {**self.rules, **rules}
        estimator_init(&self.state, now_ns)

    def sample(
        self, int64_t now_ns, int64_t acked_bytes, int64_t rtt_ns, int64_t srtt_ns,
        int64_t retrans=0, bint limited=False
    ):
        return estimator_sample(
            &self.state, &self.rules, acked_bytes, rtt_ns, srtt_ns, retrans, limited,
            now_ns)

    def window(self, int64_t srtt_ns):
        return estimator_window(&self.rules, srtt_ns)

    @property
    def bps(self):
        return estimator_bps(&self.state)

    @property
    def smoothed_bps(self):
        return self.state.smoothed_bps


cdef class Controller:
    cdef DualLoopRules rules
    cdef DualLoop state

    def __cinit__(self, int64_t now_ns, **rules):
        dualloop_rules_init(&self.rules)
        self.rules = {**self.rules, **rules}
        dualloop_init(&self.state, now_ns)

    def round(self, int64_t now_ns, sample):
        cdef DualLoopSample s = sample
        return DUALLOOP[dualloop_round(&self.state, &self.rules, &s, now_ns)]

    @property
    def rate_bps(self):
        return dualloop_rate_bps(&self.state)

    @property
    def window_bytes(self):
        return self.state.window_bytes

    @property
    def ssthresh_bytes(self):
        return self.state.ssthresh_bytes


cdef class CircuitBreaker:
    cdef BreakerRules rules
    cdef Breaker breaker

    def __cinit__(self, int64_t now_ns, **rules):
        breaker_rules_init(&self.rules)
        self.rules = {**self.rules, **rules}
        breaker_init(&self.breaker, now_ns)

    def sample(
        self, int64_t now_ns, int64_t segments, int64_t retrans, int64_t current_bps,
        int64_t rate_bps
    ):
        change = breaker_sample(
            &self.breaker, &self.rules, segments, retrans, current_bps, rate_bps,
            now_ns)
        return BREAKER[change]

    def tick(self, int64_t now_ns):
        return BREAKER[breaker_tick(&self.breaker, &self.rules, now_ns)]

    def release(self, int64_t now_ns):
        return BREAKER[breaker_release(&self.breaker, now_ns)]

    def limit_bps(self, int64_t rate_bps):
        return breaker_limit_bps(&self.breaker, &self.rules, rate_bps)

    @property
    def state(self):
        return BREAKER_STATES[self.breaker.state]
