"""Sensing: which connections an engine asks for TCP_INFO, and when.

Once in ten milliseconds an engine goes on along its connections, from where it stopped,
and asks those whose transfer belongs to a client with a mode and whose last answer is
an RTT old. A sweep looks at so many, and its cost is bounded: after it, there is none
for a hundred times as long as it took. So few downloads are asked once an RTT, and ten
thousand once in a few seconds. While any breaker is not closed, sweeps come every
millisecond, are as much shorter, and cost no more.

An answer takes about 0.8 us of a connection that is in the CPU's caches, and several
times that of one of ten thousand. One dump of the kernel's sockets (sock_diag(7)) takes
two to four times as long for each of them, and comes all at once.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from activity cimport activity_has
from c_atomic cimport atomic_load_u32
from c_socket cimport IPPROTO_TCP, TCP_INFO, getsockopt
from c_tcpinfo cimport tcpinfo
from c_time cimport clock_monotonic_ns
from clients cimport Clients, clients_at
from conn cimport CONN_OPEN, Conn
from engine cimport Engine
from sense cimport (
    SENSE_LEAST_NS, Sense, sense_begin, sense_first, sense_forget, sense_lose,
    sense_rtt_ns, sense_take,
)
from signals cimport Signals
from slab cimport slab_at
from transfer cimport TRANSFER_PARKED, Transfer


cdef enum:
    # Of the time, the part that sweeps may take.
    SENSING_SHARE = 100
    # What a sweep may do, in looks: so long nothing else runs.
    SENSING_SWEEP_LOOKS = 1000
    SENSING_ASK_LOOKS = 10
    # Of a transfer that is shorter, its end is not worth a system call.
    SENSING_LAST_BYTES = 65536

cdef extern from *:
    """
    #define SENSING_TICK_NS INT64_C(10000000)
    #define SENSING_ALARM_TICK_NS INT64_C(1000000)
    /* More is not the sweep's doing: the thread had to wait for its core. */
    #define SENSING_TOOK_MOST_NS INT64_C(1000000)
    """
    const int64_t SENSING_TICK_NS
    const int64_t SENSING_ALARM_TICK_NS
    const int64_t SENSING_TOOK_MOST_NS


cdef inline int64_t sensing_tick_ns(const Clients* t) noexcept nogil:
    return SENSING_ALARM_TICK_NS if atomic_load_u32(&t.alarmed) else SENSING_TICK_NS


cdef inline bint sensing_is_wanted(const Engine* e) noexcept nogil:
    return e.clients.senses and e.transfers.used > 0


cdef inline bint sensing_ask(Engine* e, const Conn* c, tcpinfo* info) noexcept nogil:
    """False when the kernel does not answer: the connection is gone."""
    cdef unsigned int n = sizeof(tcpinfo)
    memset(info, 0, sizeof(tcpinfo))
    e.counters.sensed += 1
    return getsockopt(c.fd, IPPROTO_TCP, TCP_INFO, info, &n) == 0


cdef inline Signals* sensing_signals(Engine* e, uint32_t row) noexcept nogil:
    return &e.clients.feeds[row].signals


cdef inline bint sensing_is_new(
    const Sense* s, const Conn* c, const Transfer* t
) noexcept nogil:
    return not s.used or s.generation != c.generation or s.client != t.client


cdef inline void sensing_one(
    Engine* e, Sense* s, const Conn* c, const Transfer* t
) noexcept nogil:
    cdef tcpinfo info
    cdef Signals* signals = sensing_signals(e, t.client)
    cdef bint alarmed = atomic_load_u32(&e.clients.alarmed) != 0
    if not sensing_ask(e, c, &info):
        return
    if sensing_is_new(s, c, t):
        if s.used:
            sense_forget(s, sensing_signals(e, s.client))
        sense_begin(s, t.client, c.generation, &info, e.now_ns)
    sense_take(
        s, &e.clients.feed_rules.estimator, signals, &info,
        t.state == TRANSFER_PARKED or activity_has(&e.clients.short_of, t.client),
        e.now_ns)
    s.due_ns = e.now_ns + max(
        sense_rtt_ns(&info), SENSING_ALARM_TICK_NS if alarmed else SENSE_LEAST_NS)


cdef inline void sensing_leave(Engine* e, Sense* s) noexcept nogil:
    """Its client has no mode any more."""
    if s.used:
        sense_forget(s, sensing_signals(e, s.client))
    sense_lose(s)


cdef inline int64_t sensing_look(Engine* e, uint32_t slot) noexcept nogil:
    """What it counts, in looks."""
    cdef const Conn* c = <const Conn*>slab_at(&e.conns, slot)
    cdef const Transfer* t = c.transfer
    cdef Sense* s = &e.senses[slot]
    if c.state != CONN_OPEN or t == NULL or not t.moved_bytes:
        return 1
    if not clients_at(e.clients, t.client).allowed.mode:
        sensing_leave(e, s)
        return 1
    if not sensing_is_new(s, c, t) and e.now_ns < s.due_ns:
        return 1
    sensing_one(e, s, c, t)
    return SENSING_ASK_LOOKS


cdef inline void sensing_run(Engine* e) noexcept nogil:
    """Once a turn of the loop; mostly nothing is due."""
    cdef int64_t tick_ns, began_ns, took_ns, left
    cdef uint32_t slots = e.conns.fresh
    cdef uint32_t looked = 0
    if not sensing_is_wanted(e) or e.now_ns < e.sense_due_ns:
        return
    began_ns = clock_monotonic_ns()
    tick_ns = sensing_tick_ns(e.clients)
    # What a loop that was busy elsewhere left out is not made up for.
    left = SENSING_SWEEP_LOOKS * tick_ns // SENSING_TICK_NS
    while looked < slots and left > 0:
        e.sense_at = e.sense_at + 1 if e.sense_at + 1 < slots else 0
        left -= sensing_look(e, e.sense_at)
        looked += 1
    took_ns = clock_monotonic_ns() - began_ns
    e.counters.sensing_ns += took_ns
    e.sense_due_ns = e.now_ns + max(
        tick_ns, SENSING_SHARE * min(took_ns, SENSING_TOOK_MOST_NS))


cdef inline void sensing_start(
    Engine* e, const Conn* c, const Transfer* t
) noexcept nogil:
    """A transfer starts, and is the connection's first or not."""
    cdef Sense* s
    if not e.clients.senses:
        return
    s = &e.senses[c.slot]
    if (not clients_at(e.clients, t.client).allowed.mode
            or (s.generation == c.generation and s.client != t.client)):
        sense_lose(s)
    elif c.requests == 0:
        sense_first(s, t.client, c.generation)


cdef inline void sensing_end(
    Engine* e, const Conn* c, const Transfer* t
) noexcept nogil:
    """The transfer ends: count what came since it was asked last."""
    cdef Sense* s
    if not e.clients.senses:
        return
    s = &e.senses[c.slot]
    if (t.moved_bytes >= SENSING_LAST_BYTES
            and clients_at(e.clients, t.client).allowed.mode):
        sensing_one(e, s, c, t)
    if s.used:
        sense_forget(s, sensing_signals(e, s.client))
