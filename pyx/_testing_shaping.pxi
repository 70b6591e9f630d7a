# Wrappers of the shaping units: bucket, wheel, slab, mailbox, userdata, coalesce. All
# take the time as an argument, so tests turn the clock by hand.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc as shaping_calloc, free as shaping_free

from bucket cimport (
    BUCKET_DEPTH_MS, BUCKET_QUANTUM_LEAST_BYTES, BUCKET_QUANTUM_MAX_BYTES,
    BUCKET_QUANTUM_MIN_BYTES, RATE_MAX_BPS, Bucket, bucket_fill_bytes, bucket_init,
    bucket_quantum, bucket_refund, bucket_set_burst, bucket_set_rate, bucket_take,
)
from clients cimport Client
from coalesce cimport (
    COALESCE_BUSY, COALESCE_MEASURE_NS, COALESCE_MOST, COALESCE_SPARE,
    COALESCE_WAIT_LEAST_NS, COALESCE_WAIT_MOST_NS, Coalesce, coalesce_due,
    coalesce_init, coalesce_learn, coalesce_measure, coalesce_wait_ns,
)
from conn cimport Conn
from gatequeue cimport GateQueue
from mailbox cimport (
    Letter, Mailbox, mailbox_drain_fd, mailbox_free, mailbox_init, mailbox_lost,
    mailbox_post, mailbox_take,
)
from message cimport Message
from slab cimport (
    Slab, slab_at, slab_free, slab_generation, slab_init, slab_live, slab_release,
    slab_take,
)
from transfer cimport Transfer
from userdata cimport (
    userdata_generation, userdata_op, userdata_pack, userdata_slot,
)
from wheel cimport (
    Timer, Wheel, timer_armed, wheel_arm, wheel_cancel, wheel_free, wheel_init,
    wheel_next_ns, wheel_pop,
)
from window cimport Window, window_add, window_jitter, window_mean_bps

DEPTH_NS = BUCKET_DEPTH_MS * 1000000
QUANTUM_MIN_BYTES = BUCKET_QUANTUM_MIN_BYTES
QUANTUM_LEAST_BYTES = BUCKET_QUANTUM_LEAST_BYTES
QUANTUM_MAX_BYTES = BUCKET_QUANTUM_MAX_BYTES
RATE_MAX = RATE_MAX_BPS
COALESCE = {
    "most": COALESCE_MOST, "wait_least_ns": COALESCE_WAIT_LEAST_NS,
    "wait_most_ns": COALESCE_WAIT_MOST_NS, "measure_ns": COALESCE_MEASURE_NS,
    "spare": COALESCE_SPARE, "busy": COALESCE_BUSY}


def quantum(int64_t rate_bps):
    return bucket_quantum(rate_bps)


cdef class SlidingWindow:
    cdef Window window

    def add(self, int64_t n_bytes, int64_t now_ns):
        window_add(&self.window, n_bytes, now_ns)

    def add_many(self, int64_t n_bytes, int64_t now_ns, int64_t times):
        """Without the GIL, so that threads meet."""
        cdef int64_t _i
        with nogil:
            for _i in range(times):
                window_add(&self.window, n_bytes, now_ns)

    def mean_bps(self, int64_t now_ns):
        return window_mean_bps(&self.window, now_ns)

    def jitter(self, int64_t now_ns):
        return window_jitter(&self.window, now_ns)


cdef class TokenBucket:
    cdef Bucket bucket

    def __cinit__(
        self, int64_t rate_bps, int64_t now_ns, uint32_t depth_ms=BUCKET_DEPTH_MS,
        uint32_t peak_permille=0
    ):
        bucket_init(&self.bucket, rate_bps, now_ns)
        bucket_set_burst(&self.bucket, depth_ms, peak_permille)

    def take(self, int64_t n_bytes, int64_t now_ns):
        return max(bucket_take(&self.bucket, n_bytes, now_ns), 0)

    def take_many(self, int64_t n_bytes, int64_t now_ns, int64_t tries):
        """Takes without the GIL; how many were granted."""
        cdef int64_t granted = 0
        cdef int64_t i
        with nogil:
            for i in range(tries):
                if bucket_take(&self.bucket, n_bytes, now_ns) <= 0:
                    granted += 1
        return granted

    def refund(self, int64_t n_bytes):
        bucket_refund(&self.bucket, n_bytes)

    def set_rate(self, int64_t rate_bps, int64_t now_ns):
        bucket_set_rate(&self.bucket, rate_bps, now_ns)

    def replace_rate(self, int64_t rate_bps):
        """As a taker sees it that loaded the old rate just before ``set_rate``."""
        self.bucket.rate_bps = rate_bps

    def fill(self, int64_t now_ns):
        return bucket_fill_bytes(&self.bucket, now_ns)


cdef class TimingWheel:
    """Timers are named by number."""
    cdef Wheel wheel
    cdef Timer* timers
    cdef uint32_t n

    def __cinit__(self, uint32_t timers, int64_t now_ns):
        cdef uint32_t i
        self.n = timers
        self.timers = <Timer*>shaping_calloc(timers, sizeof(Timer))
        for i in range(timers):
            self.timers[i].owner = i
        if wheel_init(&self.wheel, now_ns) < 0:
            raise MemoryError

    def __dealloc__(self):
        wheel_free(&self.wheel)
        shaping_free(self.timers)

    def arm(self, uint32_t i, int64_t deadline_ns):
        wheel_arm(&self.wheel, &self.timers[i], deadline_ns)

    def cancel(self, uint32_t i):
        wheel_cancel(&self.wheel, &self.timers[i])

    def armed(self, uint32_t i):
        return bool(timer_armed(&self.timers[i]))

    def next_ns(self):
        return wheel_next_ns(&self.wheel)

    def pop(self, int64_t now_ns):
        cdef Timer* t = wheel_pop(&self.wheel, now_ns)
        return None if t == NULL else t.owner

    @property
    def count(self):
        return self.wheel.count


cdef class SlotSlab:
    cdef Slab slab

    def __cinit__(self, uint32_t capacity, uint32_t item_bytes=64):
        if slab_init(&self.slab, capacity, item_bytes) < 0:
            raise MemoryError

    def __dealloc__(self):
        slab_free(&self.slab)

    def take(self):
        return slab_take(&self.slab)

    def release(self, uint32_t index):
        slab_release(&self.slab, index)

    def generation(self, uint32_t index):
        return slab_generation(&self.slab, index)

    def live(self, uint32_t index, uint32_t generation):
        return bool(slab_live(&self.slab, index, generation))

    def write(self, uint32_t index, uint8_t value):
        (<uint8_t*>slab_at(&self.slab, index))[0] = value

    def read(self, uint32_t index):
        return (<uint8_t*>slab_at(&self.slab, index))[0]

    @property
    def used(self):
        return self.slab.used


cdef class LetterBox:
    cdef Mailbox box

    def __cinit__(self, uint32_t capacity):
        if mailbox_init(&self.box, capacity) < 0:
            raise OSError("mailbox")

    def __dealloc__(self):
        mailbox_free(&self.box)

    def post(self, uint32_t kind, uint32_t a, int64_t b):
        cdef Letter letter
        cdef int rc
        letter.kind = kind
        letter.a = a
        letter.b = b
        with nogil:
            rc = mailbox_post(&self.box, letter)
        return rc

    def take(self):
        cdef Letter letter
        if not mailbox_take(&self.box, &letter):
            return None
        return letter.kind, letter.a, letter.b

    def drain_fd(self):
        mailbox_drain_fd(&self.box)

    def lost(self):
        return mailbox_lost(&self.box)

    @property
    def fd(self):
        return self.box.fd

    @property
    def dropped(self):
        return self.box.dropped


def sizes():
    """Bytes of what many decisions touch."""
    return {
        "client": sizeof(Client), "conn": sizeof(Conn), "gatequeue": sizeof(GateQueue),
        "message": sizeof(Message), "transfer": sizeof(Transfer)}


def pack(uint8_t op, uint32_t slot, uint32_t generation):
    return userdata_pack(op, slot, generation)


def unpack(uint64_t data):
    return userdata_op(data), userdata_slot(data), userdata_generation(data)


cdef class Coalescer:
    cdef Coalesce c

    def __cinit__(self):
        coalesce_init(&self.c, 0, 0)

    def learn(self, uint32_t reaped):
        coalesce_learn(&self.c, reaped)

    def wait_ns(self, int64_t wait_ns):
        return coalesce_wait_ns(&self.c, wait_ns)

    def due(self, int64_t now_ns):
        return coalesce_due(&self.c, now_ns)

    def measure(self, int64_t now_ns, int64_t cpu_ns):
        coalesce_measure(&self.c, now_ns, cpu_ns)

    @property
    def want(self):
        return self.c.want
