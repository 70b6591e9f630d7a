"""Gate: no SQE and no splice that moves body bytes without a grant from here.

A grant is one quantum, charged to the client's bucket and to the server's when it is
given, settled with what was really written, and refunded for the rest. A transfer that
gets none is parked on its client's queue; one timer per client wakes the next in turn
when the bucket's debt is paid, so that limits cost wake-ups per quantum and not per
transfer.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint32_t

from bucket cimport (
    BUCKET_QUANTUM_MIN_BYTES, Bucket, bucket_quantum, bucket_refund, bucket_take,
)
from c_atomic cimport atomic_add_i64, atomic_load_i64, atomic_store_i64
from c_prefetch cimport prefetch_line
from clients cimport CLIENT_SERVER, Client, clients_at
from conn cimport TIMER_GATE, Conn
from engine cimport Engine, engine_run_soon
from gatequeue cimport (
    GateQueue, gatequeue_pop, gatequeue_push, gatequeue_push_back_front,
    gatequeue_remove,
)
from mapping cimport mapping_free, mapping_new_dense
from transfer cimport TRANSFER_PARKED, TRANSFER_READY, Transfer, transfer_left
from wheel cimport Timer, timer_armed, wheel_arm, wheel_cancel, wheel_first_due
from window cimport window_add


cdef enum Refusal:
    REFUSED_NOT       # granted
    REFUSED_CLIENT    # the client's own bucket
    REFUSED_TOTAL     # the server's

cdef enum:
    GATE_TURN_NS = 1000000   # a tick of the wheel

cdef struct Answer:
    Refusal refusal
    int64_t wait_ns


cdef inline int gate_init(Engine* e) noexcept nogil:
    """Queues for every row; a page is touched when one of its clients first waits."""
    e.gates = <GateQueue*>mapping_new_dense(sizeof(GateQueue) * e.clients.capacity)
    if e.gates == NULL:
        return -ENOMEM
    e.total_timer.kind = TIMER_GATE
    e.total_timer.owner = CLIENT_SERVER
    return 0


cdef inline void gate_free(Engine* e) noexcept nogil:
    mapping_free(e.gates, sizeof(GateQueue) * e.clients.capacity)
    e.gates = NULL


cdef inline Client* gate_client(Engine* e, const Transfer* t) noexcept nogil:
    return clients_at(e.clients, t.client)


cdef inline GateQueue* gate_queue(Engine* e, uint32_t row) noexcept nogil:
    cdef GateQueue* q = &e.gates[row]
    q.row = row
    q.timer.owner = row
    q.timer.kind = TIMER_GATE
    return q


cdef inline int64_t gate_quantum(const Bucket* b, int64_t want) noexcept nogil:
    return min(want, bucket_quantum(atomic_load_i64(&b.rate_bps)))


cdef inline int64_t gate_size(
    const Bucket* own, const Bucket* total, const Transfer* t, uint32_t waiting
) noexcept nogil:
    """Bytes of the next grant. The more clients wait for the total rate, the smaller,
    so that each has its turn soon. A transfer's first is small where anything is
    limited: many that begin at once all see their first byte soon."""
    cdef int64_t n = gate_quantum(own, transfer_left(t))
    n = min(n, max(gate_quantum(total, n) // (1 + waiting), BUCKET_QUANTUM_MIN_BYTES))
    if t.moved_bytes or n <= BUCKET_QUANTUM_MIN_BYTES:
        return n
    if atomic_load_i64(&own.rate_bps) or atomic_load_i64(&total.rate_bps):
        return BUCKET_QUANTUM_MIN_BYTES
    return n


cdef inline void gate_take_turn(Engine* e, Transfer* t) noexcept nogil:
    """A grant while engines wait is a turn of this one."""
    cdef Client* client = gate_client(e, t)
    cdef Client* server = clients_at(e.clients, CLIENT_SERVER)
    if atomic_load_i64(&client.queues):
        e.gates[t.client].turn = atomic_add_i64(&client.turns, 1) + 1
    if atomic_load_i64(&server.queues):
        e.total_turn.turn = atomic_add_i64(&server.turns, 1) + 1


cdef inline Answer gate_ask(Engine* e, Transfer* t) noexcept nogil:
    """Charge a quantum to both buckets, or to none."""
    cdef Bucket* own = &gate_client(e, t).bucket
    cdef Bucket* total = &clients_at(e.clients, CLIENT_SERVER).bucket
    cdef int64_t n = gate_size(own, total, t, e.total_waiting)
    cdef Answer answer
    answer.refusal = REFUSED_NOT
    answer.wait_ns = bucket_take(own, n, e.now_ns)
    if answer.wait_ns > 0:
        answer.refusal = REFUSED_CLIENT
        return answer
    answer.wait_ns = bucket_take(total, n, e.now_ns)
    if answer.wait_ns > 0:
        bucket_refund(own, n)
        answer.refusal = REFUSED_TOTAL
        return answer
    t.granted_bytes = n
    e.counters.grants += 1
    gate_take_turn(e, t)
    return answer


cdef inline void gate_join_total(Engine* e, GateQueue* q) noexcept nogil:
    if q.total_queued:
        return
    q.total_queued = True
    e.total_waiting += 1
    q.total_next = NULL
    if e.total_first == NULL:
        e.total_first = q
    else:
        e.total_last.total_next = q
    e.total_last = q


cdef inline void gate_count_queue(
    Engine* e, GateQueue* q, Client* client, bint waits
) noexcept nogil:
    """Keep the bucket's count of the engines that wait for it."""
    if q.counted == waits:
        return
    q.counted = waits
    atomic_add_i64(&client.queues, 1 if waits else -1)


cdef inline int64_t gate_yield_ns(GateQueue* q, Client* client) noexcept nogil:
    """How much later than the bucket's own time a queue wakes, so that engines that
    wait for one bucket take turns: the longer ago its last turn, the sooner. Nothing is
    lost by it, because the tokens of the meantime stay in the bucket."""
    cdef int64_t others = atomic_load_i64(&client.queues) - 1
    cdef int64_t since = atomic_load_i64(&client.turns) - q.turn
    if since >= others:
        return 0
    return (others - since) * GATE_TURN_NS


cdef inline void gate_arm_total(Engine* e, int64_t wait_ns) noexcept nogil:
    cdef Client* server = clients_at(e.clients, CLIENT_SERVER)
    gate_count_queue(e, &e.total_turn, server, True)
    wheel_arm(
        &e.wheel, &e.total_timer,
        e.now_ns + wait_ns + gate_yield_ns(&e.total_turn, server))


cdef inline void gate_schedule(Engine* e, GateQueue* q, Answer answer) noexcept nogil:
    """Wake the queue when what refused it will have tokens again."""
    cdef Client* client = clients_at(e.clients, q.row)
    if answer.refusal == REFUSED_TOTAL:
        gate_join_total(e, q)
        if not timer_armed(&e.total_timer):
            gate_arm_total(e, answer.wait_ns)
        return
    gate_count_queue(e, q, client, True)
    wheel_arm(
        &e.wheel, &q.timer, e.now_ns + answer.wait_ns + gate_yield_ns(q, client))


cdef inline void gate_count_parked(Engine* e, Transfer* t, int change) noexcept nogil:
    e.counters.parked += change
    atomic_add_i64(&gate_client(e, t).parked, change)


cdef inline bint gate_is_behind(Engine* e, const Transfer* t) noexcept nogil:
    """Others of its client wait here. That nobody waits anywhere says the client's row,
    which every grant reads: then the queue, another cache miss, is left alone."""
    return (
        atomic_load_i64(&gate_client(e, t).parked) != 0
        and e.gates[t.client].waiting != 0)


cdef inline void gate_park(Engine* e, Transfer* t, Answer answer) noexcept nogil:
    cdef GateQueue* q = gate_queue(e, t.client)
    t.state = TRANSFER_PARKED
    e.counters.parks += 1
    gate_count_parked(e, t, 1)
    gatequeue_push(q, t)
    if q.waiting == 1:
        gate_schedule(e, q, answer)


cdef inline bint gate_pass(Engine* e, Transfer* t) noexcept nogil:
    """True with a grant; false when the transfer is parked and will be run again."""
    cdef Answer answer
    answer.refusal = REFUSED_CLIENT
    answer.wait_ns = 0
    if not gate_is_behind(e, t):
        if e.total_first == NULL:
            answer = gate_ask(e, t)
            if answer.refusal == REFUSED_NOT:
                return True
        else:
            answer.refusal = REFUSED_TOTAL  # behind those who already wait for it
    gate_park(e, t, answer)
    return False


cdef inline Answer gate_serve_one(Engine* e, GateQueue* q) noexcept nogil:
    """Ask for the next in turn of a queue that is not empty."""
    cdef Transfer* t = gatequeue_pop(q)
    cdef Answer answer = gate_ask(e, t)
    if answer.refusal != REFUSED_NOT:
        gatequeue_push_back_front(q, t)
        return answer
    t.state = TRANSFER_READY
    gate_count_parked(e, t, -1)
    engine_run_soon(e, <Conn*>t.conn)
    return answer


cdef inline void gate_wake(Engine* e, GateQueue* q) noexcept nogil:
    """The client's bucket has tokens, or another rate: serve until it refuses."""
    cdef Answer answer
    while q.waiting and not q.total_queued:
        answer = gate_serve_one(e, q)
        if answer.refusal != REFUSED_NOT:
            gate_schedule(e, q, answer)
            return
    if q.waiting == 0:
        gate_count_queue(e, q, clients_at(e.clients, q.row), False)


cdef inline void gate_wake_total(Engine* e) noexcept nogil:
    """The server's bucket has tokens: one quantum to each waiting client in turn."""
    cdef GateQueue* q
    cdef Answer answer
    while e.total_first != NULL:
        q = e.total_first
        if q.waiting:
            answer = gate_serve_one(e, q)
            if answer.refusal == REFUSED_TOTAL:
                gate_arm_total(e, answer.wait_ns)
                return
        e.total_first = q.total_next
        q.total_queued = False
        e.total_waiting -= 1
        if q.waiting == 0:
            gate_count_queue(e, q, clients_at(e.clients, q.row), False)
            continue
        if answer.refusal == REFUSED_NOT:
            gate_join_total(e, q)
        else:
            gate_schedule(e, q, answer)
    gate_count_queue(
        e, &e.total_turn, clients_at(e.clients, CLIENT_SERVER), False)


cdef inline void gate_look_ahead(Engine* e) noexcept nogil:
    """Ask memory for what the timer after this one will need, and for the one after
    that. Thousands may be due in one tick, and nothing of them is in a cache."""
    cdef const Timer* due = wheel_first_due(&e.wheel)
    cdef const GateQueue* q
    if due == NULL:
        return
    prefetch_line(due.link.next)
    if due.kind != TIMER_GATE or due.owner == CLIENT_SERVER:
        return
    q = &e.gates[due.owner]
    prefetch_line(&q.waiting)
    prefetch_line(q.bulk.first if q.bulk.first != NULL else q.fresh.first)
    prefetch_line(clients_at(e.clients, due.owner))


cdef inline void gate_timer(Engine* e, uint32_t row) noexcept nogil:
    gate_look_ahead(e)
    if row == CLIENT_SERVER:
        gate_wake_total(e)
    else:
        gate_wake(e, &e.gates[row])


cdef inline void gate_retime(Engine* e, uint32_t row) noexcept nogil:
    """The limit of ``row`` changed: let those who wait see it now."""
    if row == CLIENT_SERVER:
        wheel_cancel(&e.wheel, &e.total_timer)
        gate_wake_total(e)
        return
    if e.gates[row].waiting:
        wheel_cancel(&e.wheel, &e.gates[row].timer)
        gate_wake(e, &e.gates[row])


cdef inline void gate_retime_all(Engine* e) noexcept nogil:
    cdef uint32_t row
    for row in range(e.clients.used):
        gate_retime(e, row)


cdef inline void gate_cancel(Engine* e, Transfer* t) noexcept nogil:
    """A parked transfer ends."""
    cdef GateQueue* q = gate_queue(e, t.client)
    gatequeue_remove(q, t)
    gate_count_parked(e, t, -1)
    t.state = TRANSFER_READY
    if q.waiting == 0:
        wheel_cancel(&e.wheel, &q.timer)
        gate_count_queue(e, q, clients_at(e.clients, q.row), False)


cdef inline void gate_settle(Engine* e, Transfer* t, int64_t moved) noexcept nogil:
    """``moved`` of the granted bytes reached the socket."""
    cdef Client* client = gate_client(e, t)
    t.granted_bytes -= moved
    e.counters.bytes_sent += moved
    atomic_add_i64(&client.bytes_total, moved)
    atomic_store_i64(&client.last_active_ns, e.now_ns)
    window_add(&client.window, moved, e.now_ns)


cdef inline void gate_trim(Engine* e, Transfer* t, int64_t keep) noexcept nogil:
    """Give back all but ``keep`` of what was granted and not used."""
    cdef int64_t n = t.granted_bytes - keep
    if n <= 0:
        return
    bucket_refund(&gate_client(e, t).bucket, n)
    bucket_refund(&clients_at(e.clients, CLIENT_SERVER).bucket, n)
    t.granted_bytes = keep


cdef inline void gate_return(Engine* e, Transfer* t) noexcept nogil:
    """Give back what was granted and not used."""
    gate_trim(e, t, 0)
