"""Grant: the right to send so many bytes, charged to every bucket on the way up.

A transfer asks its client's bucket, its group's and the server's: all are charged, or
none. What is not sent is given back. The grant is the lease by which engines share a
bucket: one compare-and-swap each, and then 25 ms and more of the rate without another.
"""

from libc.stdint cimport int64_t, uint32_t

from bucket cimport (
    BUCKET_QUANTUM_LEAST_BYTES, BUCKET_QUANTUM_MAX_BYTES,
    BUCKET_QUANTUM_MIN_BYTES, Bucket, bucket_charge, bucket_ns, bucket_quantum,
    bucket_take, virtual_take,
)
from c_atomic cimport atomic_add_u32, atomic_load_i32, atomic_load_i64
from charge cimport Charge, charge_add, charge_none, charge_refund
from clients cimport CLIENT_SERVER, Client, clients_at
from engine cimport Engine
from moved cimport moved_count
from transfer cimport Transfer, transfer_left


cdef enum:
    # The head and the first bytes of a transfer may run on debt, if others of its
    # client would have to be waited for; a tenth of the client's rate may go that way.
    EARLY_BYTES = 65536
    EARLY_SHARE = 10
    GRANT_TURNS_MOST = 40   # in a second, of the transfers of one client

cdef extern from *:
    """
    /* A slow client may save up this long for it: half a second of its rate. */
    #define EARLY_NS INT64_C(5000000000)
    """
    const int64_t EARLY_NS

cdef struct Answer:
    bint refused
    uint32_t row       # whose bucket refused
    int64_t wait_ns    # until it has tokens
    Charge charge      # of a grant


cdef inline Client* grant_client(Engine* e, const Transfer* t) noexcept nogil:
    return clients_at(e.clients, t.client)


cdef inline int64_t grant_rate(Engine* e, const Transfer* t) noexcept nogil:
    """At which the client's bucket runs now; where it has none, that of the node above:
    all that it could get. 0: unlimited."""
    cdef const Client* own = grant_client(e, t)
    cdef int64_t rate = atomic_load_i64(&own.bucket.rate_bps)
    if rate == 0 and own.parent != CLIENT_SERVER:
        rate = atomic_load_i64(&clients_at(e.clients, own.parent).bucket.rate_bps)
    if rate == 0:
        rate = atomic_load_i64(&clients_at(e.clients, CLIENT_SERVER).bucket.rate_bps)
    return rate


cdef inline int64_t quantum_of(const Bucket* b, int64_t want) noexcept nogil:
    return min(want, bucket_quantum(atomic_load_i64(&b.rate_bps)))


cdef inline int64_t turn_bytes(int64_t rate_bps, int64_t parked) noexcept nogil:
    """So that each of the client's transfers has one within a second, as far as
    GRANT_TURNS_MOST allows; but none that is not worth its head."""
    cdef int64_t turns = parked if parked < GRANT_TURNS_MOST else GRANT_TURNS_MOST
    cdef int64_t n = rate_bps // turns
    if rate_bps == 0:
        return BUCKET_QUANTUM_MAX_BYTES
    return n if n > BUCKET_QUANTUM_LEAST_BYTES else BUCKET_QUANTUM_LEAST_BYTES


cdef inline int64_t grant_turn_bytes(
    Engine* e, uint32_t row, int64_t want
) noexcept nogil:
    """The more clients wait in the line of ``row``, the smaller a grant, so that each
    has its turn soon."""
    cdef int64_t n = quantum_of(&clients_at(e.clients, row).bucket, want)
    return max(n // (1 + e.lines[row].waiting), BUCKET_QUANTUM_MIN_BYTES)


cdef inline int64_t grant_size(
    Engine* e, const Client* own, const Transfer* t
) noexcept nogil:
    """Bytes of the next grant. A transfer's first is small where anything is limited:
    many that begin at once all see their first byte soon."""
    cdef int64_t n = quantum_of(&own.bucket, transfer_left(t))
    cdef int64_t parked = atomic_load_i32(&own.parked)
    if parked > 1:
        n = min(n, turn_bytes(atomic_load_i64(&own.bucket.rate_bps), parked))
    n = min(n, grant_turn_bytes(e, CLIENT_SERVER, n))
    if own.parent != CLIENT_SERVER:
        n = min(n, grant_turn_bytes(e, own.parent, n))
    if t.moved_bytes or n <= BUCKET_QUANTUM_MIN_BYTES:
        return n
    if (atomic_load_i64(&own.bucket.rate_bps) or own.parent != CLIENT_SERVER
            or atomic_load_i64(&clients_at(e.clients, CLIENT_SERVER).bucket.rate_bps)):
        return BUCKET_QUANTUM_MIN_BYTES
    return n


cdef inline bint grant_take(
    Engine* e, uint32_t row, int64_t n, Answer* answer
) noexcept nogil:
    answer.wait_ns = bucket_take(&clients_at(e.clients, row).bucket, n, e.now_ns)
    answer.refused = answer.wait_ns > 0
    answer.row = row
    if answer.wait_ns == 0:
        charge_add(&answer.charge, row)
    return not answer.refused


cdef inline bint grant_take_above(
    Engine* e, const Client* own, int64_t n, Answer* answer
) noexcept nogil:
    """From the nodes above a client; what was charged until one refuses is noted."""
    if own.parent != CLIENT_SERVER and not grant_take(e, own.parent, n, answer):
        return False
    return grant_take(e, CLIENT_SERVER, n, answer)


cdef inline void take_turn(Client* node, uint32_t* turn) noexcept nogil:
    """A grant while engines wait is a turn of this one."""
    if atomic_load_i32(&node.queues):
        turn[0] = atomic_add_u32(&node.turns, 1) + 1


cdef inline void grant_given(
    Engine* e, Transfer* t, Client* own, int64_t n, Charge charge
) noexcept nogil:
    t.granted_bytes = n
    t.charge = charge
    e.counters.grants += 1
    if atomic_load_i32(&own.queues):
        take_turn(own, &e.gates[t.client].turn)
    take_turn(clients_at(e.clients, CLIENT_SERVER), &e.lines[CLIENT_SERVER].turn)
    if own.parent != CLIENT_SERVER:
        take_turn(clients_at(e.clients, own.parent), &e.lines[own.parent].turn)


cdef inline Answer grant_ask(Engine* e, Transfer* t) noexcept nogil:
    """Charge a quantum to every bucket on the way up, or to none."""
    cdef Client* own = grant_client(e, t)
    cdef int64_t n = grant_size(e, own, t)
    cdef Answer answer
    answer.charge = charge_none()
    if not grant_take(e, t.client, n, &answer):
        return answer
    if not grant_take_above(e, own, n, &answer):
        charge_refund(e.clients, t.client, answer.charge, n)
        return answer
    grant_given(e, t, own, n, answer.charge)
    return answer


cdef inline int64_t grant_debt_ns(const Client* own, int64_t now_ns) noexcept nogil:
    return atomic_load_i64(&own.bucket.vt_ns) - now_ns


cdef inline bint grant_on_debt(Engine* e, Transfer* t, int64_t rate) noexcept nogil:
    """The debt has a bound: a bucket of at most EARLY_BYTES that a tenth of the rate
    fills."""
    cdef Client* own = grant_client(e, t)
    cdef int64_t early_bps = max(
        rate // (EARLY_SHARE * max(<int64_t>e.clients.engines_n, 1)), 1)
    cdef int64_t depth_ns = min(bucket_ns(EARLY_BYTES, early_bps), EARLY_NS)
    cdef int64_t n = quantum_of(
        &own.bucket, min(transfer_left(t), BUCKET_QUANTUM_MIN_BYTES))
    cdef int64_t* at = &e.gates[t.client].early_vt_ns
    cdef Answer answer
    answer.charge = charge_none()
    if at[0] > e.now_ns + depth_ns:  # of a rate that was far lower
        at[0] = e.now_ns
    if grant_debt_ns(own, e.now_ns) > (
            bucket_ns(bucket_quantum(rate), rate) + depth_ns // EARLY_SHARE):
        return False
    # The second half is for heads only: others that began just now leave it to them.
    if at[0] > e.now_ns - (depth_ns // 2 if t.moved_bytes else 0):
        return False
    if not grant_take_above(e, own, n, &answer):
        charge_refund(e.clients, t.client, answer.charge, n)
        return False
    virtual_take(at, bucket_ns(n, early_bps), depth_ns, early_bps, e.now_ns)
    if bucket_charge(&own.bucket, n, e.now_ns) == 0:
        charge_add(&answer.charge, t.client)
    grant_given(e, t, own, n, answer.charge)
    e.counters.grants_early += 1
    return True


cdef inline bint grant_early(Engine* e, Transfer* t) noexcept nogil:
    """What a transfer begins with, on debt of its client, whom others keep waiting."""
    cdef int64_t rate = atomic_load_i64(&grant_client(e, t).bucket.rate_bps)
    if rate == 0 or t.moved_bytes >= EARLY_BYTES:
        return False
    return grant_on_debt(e, t, rate)


cdef inline void grant_settle(Engine* e, Transfer* t, int64_t moved) noexcept nogil:
    """``moved`` of the granted bytes reached the socket."""
    t.granted_bytes -= moved
    e.counters.bytes_sent += moved
    moved_count(e.clients, t.client, moved, e.now_ns)


cdef inline void grant_trim(Engine* e, Transfer* t, int64_t keep) noexcept nogil:
    """Give back all but ``keep`` of what was granted and not used."""
    if t.granted_bytes > keep:
        charge_refund(e.clients, t.client, t.charge, t.granted_bytes - keep)
        t.granted_bytes = keep


cdef inline void grant_return(Engine* e, Transfer* t) noexcept nogil:
    """Give back what was granted and not used."""
    grant_trim(e, t, 0)
