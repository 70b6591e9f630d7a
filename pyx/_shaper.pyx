"""The shaper alone, for the harness: one engine's gate, queues, buckets and wheel with
as many transfers as asked for, on a clock that stands still between decisions.

Nothing is sent and nothing sleeps: what is timed is the engine's own code, from the
request for a grant to the answer. See ``perf/workloads/bucket.py``.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from c_time cimport clock_monotonic_ns
from clients cimport (
    Clients, clients_by_address, clients_free, clients_init,
    key_from_v4,
)
from conn cimport Conn
from engine cimport Engine, engine_next_runnable
from gate cimport gate_free, gate_init, gate_pass, gate_settle, gate_timer
from keymap cimport Key
from transfer cimport Transfer, transfer_reset
from wheel cimport Timer, wheel_free, wheel_init, wheel_next_ns, wheel_pop


cdef enum:
    ENDLESS_BYTES = 1 << 30   # of every transfer, which never comes to its end

cdef extern from *:
    """
    #define SHAPER_START_NS INT64_C(1000000000)
    """
    const int64_t SHAPER_START_NS


cdef inline void shaper_use(Engine* e, Transfer* t) noexcept nogil:
    """As if all that was granted had been sent, of a file without end."""
    gate_settle(e, t, t.granted_bytes)
    t.moved_bytes = 1


cdef inline bint shaper_wake(Engine* e) noexcept nogil:
    """Fire one due timer, use the grants that follow from it, and ask again, which
    parks. False when nothing is due: the clock was moved to the next deadline."""
    cdef Timer* timer = wheel_pop(&e.wheel, e.now_ns)
    cdef Conn* c
    if timer == NULL:
        e.now_ns = max(e.now_ns, wheel_next_ns(&e.wheel))
        return False
    gate_timer(e, timer.owner)
    c = engine_next_runnable(e)
    while c != NULL:
        shaper_use(e, c.transfer)
        while gate_pass(e, c.transfer):
            shaper_use(e, c.transfer)
        c = engine_next_runnable(e)
    return True


cdef class Shaper:
    """``asking`` clients that ask, and others with one parked transfer each, parked in
    the order ``waiting``, a permutation of their numbers: so memory is walked at random
    when their timers fire.

    Every client may have ``client_bps`` bytes per second, and all together
    ``total_bps``, so that a grant is charged twice.
    """
    cdef Engine* e
    cdef Clients clients
    cdef Conn* conns
    cdef Transfer* transfers
    cdef uint32_t asking_n

    def __cinit__(
        self, uint32_t asking, const uint32_t[::1] waiting, int64_t client_bps,
        int64_t total_bps
    ):
        cdef uint32_t n = asking + <uint32_t>len(waiting)
        self.asking_n = asking
        self.e = <Engine*>calloc(1, sizeof(Engine))
        self.conns = <Conn*>calloc(n, sizeof(Conn))
        self.transfers = <Transfer*>calloc(n, sizeof(Transfer))
        if not (self.e and self.conns and self.transfers):
            raise MemoryError
        self.e.now_ns = SHAPER_START_NS
        self.e.clients = &self.clients
        if clients_init(
                &self.clients, n, client_bps, total_bps, 1, self.e.now_ns) < 0:
            raise MemoryError
        if wheel_init(&self.e.wheel, self.e.now_ns) < 0 or gate_init(self.e) < 0:
            raise MemoryError
        self._add(n)
        self._park(waiting)

    def __dealloc__(self):
        if self.e != NULL:
            gate_free(self.e)
            wheel_free(&self.e.wheel)
            clients_free(&self.clients)
        free(self.transfers)
        free(self.conns)
        free(self.e)

    cdef void _add(self, uint32_t n) noexcept:
        """One client, connection and transfer each; those that ask come first."""
        cdef Key key
        cdef uint32_t i
        for i in range(n):
            key_from_v4(&key, &i)
            transfer_reset(&self.transfers[i])
            self.transfers[i].client = clients_by_address(
                &self.clients, &key, self.e.now_ns)
            self.transfers[i].total_bytes = ENDLESS_BYTES
            self.transfers[i].moved_bytes = 1
            self.transfers[i].conn = &self.conns[i]
            self.conns[i].transfer = &self.transfers[i]

    cdef void _park(self, const uint32_t[::1] order) noexcept:
        """A new bucket grants once, then each waits for its debt."""
        cdef Transfer* t
        cdef Py_ssize_t i
        for i in range(len(order)):
            t = &self.transfers[self.asking_n + order[i]]
            while gate_pass(self.e, t):
                shaper_use(self.e, t)
            # Spread their timers: all parked at once would all fire in one tick.
            self.e.now_ns += 1000

    @property
    def parked(self):
        """Transfers that are parked now, and armed timers."""
        return self.e.counters.parked, self.e.wheel.count

    def grants(self, const uint32_t[::1] order, int64_t count, int64_t step_ns):
        """Nanoseconds for ``count`` grants to free transfers, in turn of ``order``; the
        simulated clock goes on by ``step_ns`` before each.

        Raises:
            RuntimeError: one was refused: the step is too short for the rates.
        """
        cdef int64_t begin_ns = clock_monotonic_ns()
        cdef int64_t _i, granted = 0
        cdef uint32_t at = 0, n = <uint32_t>len(order)
        with nogil:
            for _i in range(count):
                self.e.now_ns += step_ns
                granted += gate_pass(self.e, &self.transfers[order[at]])
                at = at + 1 if at + 1 < n else 0
        return self._checked(count, granted, clock_monotonic_ns() - begin_ns)

    def grant_times(
        self, const uint32_t[::1] order, int64_t[::1] took_ns, int64_t step_ns
    ):
        """As ``grants``, each timed by a clock read before and after it.

        Raises:
            RuntimeError: one was refused.
        """
        cdef int64_t before_ns, i, granted = 0
        cdef int64_t count = len(took_ns)
        cdef uint32_t at = 0, n = <uint32_t>len(order)
        with nogil:
            for i in range(count):
                self.e.now_ns += step_ns
                before_ns = clock_monotonic_ns()
                granted += gate_pass(self.e, &self.transfers[order[at]])
                took_ns[i] = clock_monotonic_ns() - before_ns
                at = at + 1 if at + 1 < n else 0
        self._checked(count, granted, 0)

    def _checked(self, count, granted, elapsed_ns):
        if granted != count:
            raise RuntimeError(f"{count - granted} of {count} grants were refused")
        return elapsed_ns

    def wakes(self, int64_t count):
        """Nanoseconds for ``count`` times: a timer fires, its transfer is granted a
        quantum, uses it, asks again and is parked with a new timer."""
        cdef int64_t begin_ns = clock_monotonic_ns()
        cdef int64_t done = 0
        with nogil:
            while done < count and self.e.wheel.count:
                done += shaper_wake(self.e)
        return clock_monotonic_ns() - begin_ns

    def wake_times(self, int64_t[::1] took_ns):
        """As ``wakes``, each timed by a clock read before and after it."""
        cdef int64_t before_ns
        cdef int64_t done = 0, count = len(took_ns)
        with nogil:
            while done < count and self.e.wheel.count:
                before_ns = clock_monotonic_ns()
                if shaper_wake(self.e):
                    took_ns[done] = clock_monotonic_ns() - before_ns
                    done += 1


def clock_times(int64_t[::1] took_ns):
    """What timing nothing reads: the clock's own part of every timed decision."""
    cdef int64_t before_ns, i
    cdef int64_t count = len(took_ns)
    with nogil:
        for i in range(count):
            before_ns = clock_monotonic_ns()
            took_ns[i] = clock_monotonic_ns() - before_ns
