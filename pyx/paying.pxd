"""Paying: Python takes tokens of one client, from the buckets that the engines share.

It asks them as an engine does, and while it waits for one it is counted among the
engines that do, which leave each other turns (``gate_yield_ns``). But who only wakes up
when the interpreter comes to it may always be too late. So after a while it takes its
turn on debt, of one quantum.
"""

from libc.stdint cimport int64_t, uint32_t

from activity cimport activity_mark
from bucket cimport (
    BUCKET_QUANTUM_MAX_BYTES, bucket_charge, bucket_ns, bucket_quantum, bucket_take,
)
from c_atomic cimport (
    atomic_add_i32, atomic_add_i64, atomic_add_u32, atomic_load_i32,
    atomic_load_i64,
)
from charge cimport Charge, charge_add, charge_none, charge_refund
from clients cimport CLIENT_SERVER, Client, Clients, client_use, clients_at
from holders cimport HOLD_TRANSFER, holders_join, holders_leave
from moved cimport moved_count


cdef enum:
    # What an interpreted loop moves at once; smaller than an engine's.
    PAYING_QUANTUM_MAX_BYTES = 262144

cdef extern from *:
    """
    #define PAYING_PATIENCE_NS INT64_C(100000000)
    """
    const int64_t PAYING_PATIENCE_NS

cdef struct Payer:
    Clients* clients
    uint32_t row
    uint32_t waits_at      # 1 + the row whose bucket refused; 0: it does not wait
    int64_t waits_since_ns
    Charge charge          # of what it took last


cdef inline Client* payer_client(const Payer* p) noexcept nogil:
    return clients_at(p.clients, p.row)


cdef inline void payer_join(
    Payer* p, Clients* clients, uint32_t row, int64_t now_ns
) noexcept nogil:
    """As a transfer does: its row is not given to another client meanwhile. It is named
    or held already."""
    p.clients = clients
    p.row = row
    p.waits_at = 0
    p.charge = charge_none()
    holders_join(&payer_client(p).holders, HOLD_TRANSFER)
    client_use(payer_client(p), now_ns)


cdef inline void payer_stop_waiting(Payer* p) noexcept nogil:
    if p.waits_at:
        atomic_add_i32(&clients_at(p.clients, p.waits_at - 1).queues, -1)
    p.waits_at = 0


cdef inline void payer_wait(Payer* p, uint32_t row, int64_t now_ns) noexcept nogil:
    """Be counted among those who wait for the bucket of ``row``."""
    if p.waits_at == 0:
        p.waits_since_ns = now_ns
    if p.waits_at != row + 1:
        payer_stop_waiting(p)
        p.waits_at = row + 1
        atomic_add_i32(&clients_at(p.clients, row).queues, 1)
    activity_mark(&p.clients.short_of, p.row)


cdef inline void payer_leave(Payer* p) noexcept nogil:
    payer_stop_waiting(p)
    holders_leave(&payer_client(p).holders, HOLD_TRANSFER)


cdef inline int64_t payer_quantum(const Payer* p) noexcept nogil:
    return min(
        bucket_quantum(atomic_load_i64(&payer_client(p).bucket.rate_bps)),
        <int64_t>PAYING_QUANTUM_MAX_BYTES)


cdef inline bint payer_is_starved(
    const Payer* p, const Client* node, int64_t now_ns
) noexcept nogil:
    return (
        p.waits_at != 0 and now_ns - p.waits_since_ns >= PAYING_PATIENCE_NS
        and atomic_load_i32(&node.queues) > 1)


cdef inline bint payer_take_on_debt(
    Client* node, int64_t n, int64_t now_ns
) noexcept nogil:
    """Unless it owes a quantum already. With ``n`` that stays below what a bucket
    forgives (``virtual_take``)."""
    cdef int64_t rate = atomic_load_i64(&node.bucket.rate_bps)
    cdef int64_t most = min(bucket_quantum(rate), BUCKET_QUANTUM_MAX_BYTES - n)
    if rate == 0 or bucket_ns(most, rate) < (
            atomic_load_i64(&node.bucket.vt_ns) - now_ns):
        return False
    return bucket_charge(&node.bucket, n, now_ns) == 0


cdef inline int64_t payer_take_of(
    Payer* p, uint32_t row, int64_t n, int64_t now_ns, Charge* charge
) noexcept nogil:
    """From the bucket of one row: 0, or how long until it has tokens."""
    cdef Client* node = clients_at(p.clients, row)
    cdef int64_t wait_ns = bucket_take(&node.bucket, n, now_ns)
    if (wait_ns > 0 and payer_is_starved(p, node, now_ns)
            and payer_take_on_debt(node, n, now_ns)):
        wait_ns = 0
    if wait_ns == 0:
        charge_add(charge, row)
    if wait_ns <= 0:
        return 0
    payer_wait(p, row, now_ns)
    return wait_ns


cdef inline void payer_turn(Client* node) noexcept nogil:
    if atomic_load_i32(&node.queues):
        atomic_add_u32(&node.turns, 1)


cdef inline void payer_took(Payer* p, Client* own) noexcept nogil:
    """A grant while others wait is a turn, after which it is theirs."""
    payer_stop_waiting(p)
    payer_turn(own)
    payer_turn(clients_at(p.clients, CLIENT_SERVER))
    if own.parent != CLIENT_SERVER:
        payer_turn(clients_at(p.clients, own.parent))


cdef inline int64_t payer_take(Payer* p, int64_t n, int64_t now_ns) noexcept nogil:
    """0: ``n`` bytes, at most BUCKET_QUANTUM_MAX_BYTES, are charged everywhere. Else
    nothing is, and there will be tokens in so many nanoseconds."""
    cdef Client* own = payer_client(p)
    cdef uint32_t parent = own.parent
    cdef Charge charge = charge_none()
    cdef int64_t wait_ns
    wait_ns = payer_take_of(p, p.row, n, now_ns, &charge)
    if wait_ns == 0 and parent != CLIENT_SERVER:
        wait_ns = payer_take_of(p, parent, n, now_ns, &charge)
    if wait_ns == 0:
        wait_ns = payer_take_of(p, CLIENT_SERVER, n, now_ns, &charge)
    if wait_ns:
        charge_refund(p.clients, p.row, charge, n)
        return wait_ns
    p.charge = charge
    payer_took(p, own)
    return 0


cdef inline void payer_refund(Payer* p, int64_t n) noexcept nogil:
    """Where the last was taken, also of what was taken before it."""
    charge_refund(p.clients, p.row, p.charge, n)


cdef inline void payer_settle(Payer* p, int64_t n, int64_t now_ns) noexcept nogil:
    """``n`` charged bytes were moved: they count as those that engines send."""
    moved_count(p.clients, p.row, n, now_ns)
    # An engine's counters have what it sends; nobody else counts this for the server.
    atomic_add_i64(&clients_at(p.clients, CLIENT_SERVER).bytes_total, n)
