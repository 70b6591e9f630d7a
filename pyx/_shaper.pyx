"""The shaper alone, for the harness: one engine's gate, queues, buckets and wheel with
as many transfers as asked for, on a clock that stands still between decisions.

Nothing is sent and nothing sleeps: what is timed is the engine's own code, from the
request for a grant to the answer. See ``perf/workloads/bucket.py``.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from c_time cimport clock_monotonic_ns
from clients cimport Clients, clients_free, clients_init, key_from_v4
from conn cimport Conn
from engine cimport (
    Engine, engine_new_conn, engine_new_transfer, engine_next_runnable, engine_run_soon,
)
from finding cimport clients_hold_address
from gate cimport gate_free, gate_init, gate_pass, gate_timer
from grant cimport EARLY_BYTES, grant_settle
from holders cimport HOLD_TRANSFER
from keymap cimport Key
from message cimport Message
from pool cimport pool_free, pool_init
from runlist cimport runlist_free, runlist_init
from slab cimport slab_at, slab_free, slab_init
from transfer cimport Transfer
from wheel cimport Timer, wheel_free, wheel_init, wheel_next_ns, wheel_pop


cdef enum:
    ENDLESS_BYTES = 1 << 30   # of every transfer, which never comes to its end
    ROUND = 1024              # connections that become runnable before the first asks

cdef extern from *:
    """
    #define SHAPER_START_NS INT64_C(1000000000)
    """
    const int64_t SHAPER_START_NS


cdef inline void shaper_use(Engine* e, Transfer* t) noexcept nogil:
    """As if all that was granted had been sent, of a file without end."""
    grant_settle(e, t, t.granted_bytes)
    t.moved_bytes = EARLY_BYTES


cdef inline Conn* shaper_conn(Engine* e, uint32_t i) noexcept nogil:
    """A new slab hands its slots out in their order."""
    return <Conn*>slab_at(&e.conns, i)


cdef inline uint32_t shaper_list(
    Engine* e, const uint32_t* order, uint32_t n, uint32_t at
) noexcept nogil:
    """Put a round of connections on the run list; returns where the next one begins."""
    cdef uint32_t _i
    for _i in range(min(n, ROUND)):
        engine_run_soon(e, shaper_conn(e, order[at]))
        at = at + 1 if at + 1 < n else 0
    return at


cdef inline bint shaper_grant(Engine* e, int64_t step_ns) noexcept nogil:
    """The next of the run list asks for a grant."""
    e.now_ns += step_ns
    return gate_pass(e, engine_next_runnable(e).transfer)


cdef inline bint shaper_wake(Engine* e) noexcept nogil:
    """Fire one due timer, which grants its transfer a quantum and puts it on the run
    list. False when nothing is due."""
    cdef Timer* timer = wheel_pop(&e.wheel, e.now_ns)
    if timer == NULL:
        return False
    gate_timer(e, timer.owner)
    return True


cdef inline bint shaper_turn(Engine* e) noexcept nogil:
    """The next of the run list uses its grant and asks again, which parks it. False
    when the list is empty."""
    cdef Conn* c = engine_next_runnable(e)
    if c == NULL:
        return False
    shaper_use(e, c.transfer)
    while gate_pass(e, c.transfer):
        shaper_use(e, c.transfer)
    return True


cdef inline void shaper_skip(Engine* e) noexcept nogil:
    """Move the clock on to the next deadline."""
    e.now_ns = max(e.now_ns, wheel_next_ns(&e.wheel))


cdef class Shaper:
    """``asking`` clients that ask, and others with one parked transfer each, parked in
    the order ``waiting``, a permutation of their numbers: so memory is walked at random
    when their timers fire.

    Every client may have ``client_bps`` bytes per second, and all together
    ``total_bps``, so that a grant is charged twice.
    """
    cdef Engine* e
    cdef Clients clients
    cdef uint32_t asking_n

    def __cinit__(
        self, uint32_t asking, const uint32_t[::1] waiting, int64_t client_bps,
        int64_t total_bps
    ):
        cdef uint32_t n = asking + <uint32_t>len(waiting)
        self.asking_n = asking
        self.e = <Engine*>calloc(1, sizeof(Engine))
        if self.e == NULL:
            raise MemoryError
        self.e.now_ns = SHAPER_START_NS
        self.e.clients = &self.clients
        if clients_init(
                &self.clients, n, client_bps, total_bps, 1, self.e.now_ns) < 0:
            raise MemoryError
        if wheel_init(&self.e.wheel, self.e.now_ns) < 0 or gate_init(self.e) < 0:
            raise MemoryError
        if slab_init(&self.e.conns, n, sizeof(Conn)) < 0:
            raise MemoryError
        if runlist_init(&self.e.runnable, n) < 0:
            raise MemoryError
        if (pool_init(&self.e.transfers, n, sizeof(Transfer), True) < 0
                or pool_init(&self.e.messages, n, sizeof(Message)) < 0):
            raise MemoryError
        self._add(n)
        self._park(waiting)

    def __dealloc__(self):
        if self.e != NULL:
            gate_free(self.e)
            runlist_free(&self.e.runnable)
            slab_free(&self.e.conns)
            pool_free(&self.e.transfers)
            pool_free(&self.e.messages)
            wheel_free(&self.e.wheel)
            clients_free(&self.clients)
        free(self.e)

    cdef void _add(self, uint32_t n) noexcept:
        """One client, connection and transfer each; those that ask come first."""
        cdef Key key
        cdef Transfer* t
        cdef uint32_t i
        for i in range(n):
            key_from_v4(&key, &i)
            t = engine_new_transfer(self.e)
            t.client = clients_hold_address(
                &self.clients, &key, HOLD_TRANSFER, self.e.now_ns)
            t.total_bytes = ENDLESS_BYTES
            t.moved_bytes = EARLY_BYTES
            t.conn = engine_new_conn(self.e, -1)
            shaper_conn(self.e, i).transfer = t

    cdef void _park(self, const uint32_t[::1] order) noexcept:
        """A new bucket grants once, then each waits for its debt."""
        cdef Transfer* t
        cdef Py_ssize_t i
        for i in range(len(order)):
            t = shaper_conn(self.e, self.asking_n + order[i]).transfer
            while gate_pass(self.e, t):
                shaper_use(self.e, t)
            # Spread their timers: all parked at once would all fire in one tick.
            self.e.now_ns += 1000

    @property
    def parked(self):
        """Transfers that are parked now, and armed timers."""
        return self.e.counters.parked, self.e.wheel.count

    def grants(self, const uint32_t[::1] order, int64_t count, int64_t step_ns):
        """As long as ``count`` grants take, or a few more, to free transfers in turn of
        ``order``. As in the engine's loop, those of a round are put on the run list,
        then each is taken from it and asks. The simulated clock goes on by ``step_ns``
        before each. Returns nanoseconds and how many there were.

        Raises:
            RuntimeError: one was refused: the step is too short for the rates.
        """
        cdef int64_t begin_ns = clock_monotonic_ns()
        cdef int64_t done = 0, granted = 0
        cdef uint32_t at = 0, n = <uint32_t>len(order)
        with nogil:
            while done < count:
                at = shaper_list(self.e, &order[0], n, at)
                done += self.e.runnable.n
                while self.e.runnable.n:
                    granted += shaper_grant(self.e, step_ns)
        self._check(done, granted)
        return clock_monotonic_ns() - begin_ns, done

    def grant_times(
        self, const uint32_t[::1] order, int64_t[::1] took_ns, int64_t step_ns
    ):
        """As ``grants``, each timed by a clock read before and after it.

        Raises:
            RuntimeError: one was refused.
        """
        cdef int64_t before_ns, done = 0, granted = 0, count = len(took_ns)
        cdef uint32_t at = 0, n = <uint32_t>len(order)
        with nogil:
            while done < count:
                at = shaper_list(self.e, &order[0], n, at)
                while self.e.runnable.n and done < count:
                    before_ns = clock_monotonic_ns()
                    granted += shaper_grant(self.e, step_ns)
                    took_ns[done] = clock_monotonic_ns() - before_ns
                    done += 1
            while engine_next_runnable(self.e) != NULL:
                pass
        self._check(done, granted)

    def _check(self, count, granted):
        if granted != count:
            raise RuntimeError(f"{count - granted} of {count} grants were refused")

    def wakes(self, int64_t count):
        """As long as ``count`` take, or a few more: a timer fires, its transfer is
        granted a quantum, uses it, asks again and is parked with a new timer. As in the
        engine's loop, all timers that are due fire before the first transfer goes on.
        Returns nanoseconds and how many there were."""
        cdef int64_t begin_ns = clock_monotonic_ns()
        cdef int64_t done = 0
        with nogil:
            while done < count and self.e.wheel.count:
                shaper_skip(self.e)
                while shaper_wake(self.e):
                    done += 1
                while shaper_turn(self.e):
                    pass
        return clock_monotonic_ns() - begin_ns, done

    def wake_times(self, int64_t[::1] took_ns):
        """As ``wakes``; the two parts of each, the timer and the turn, are timed by
        clock reads before and after them, and added up."""
        cdef int64_t before_ns
        cdef int64_t fired = 0, done = 0, count = len(took_ns)
        with nogil:
            while done < count and self.e.wheel.count:
                shaper_skip(self.e)
                before_ns = clock_monotonic_ns()
                while fired < count and shaper_wake(self.e):
                    took_ns[fired] = clock_monotonic_ns() - before_ns
                    fired += 1
                    before_ns = clock_monotonic_ns()
                while done < fired:
                    before_ns = clock_monotonic_ns()
                    shaper_turn(self.e)
                    took_ns[done] += clock_monotonic_ns() - before_ns
                    done += 1


def clock_times(int64_t[::1] took_ns):
    """What timing nothing reads: the clock's own part of every timed decision."""
    cdef int64_t before_ns, i
    cdef int64_t count = len(took_ns)
    with nogil:
        for i in range(count):
            before_ns = clock_monotonic_ns()
            took_ns[i] = clock_monotonic_ns() - before_ns
