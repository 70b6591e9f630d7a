"""Gate: no SQE and no splice that moves body bytes without a grant from here.

A grant is one quantum, charged to the client's bucket and to the server's when it is
given, settled with what was really written, and refunded for the rest. A transfer that
gets none is parked on its client's queue; one timer per client wakes the next in turn
when the bucket's debt is paid, so that limits cost wake-ups per quantum and not per
transfer.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from activity cimport activity_mark
from c_atomic cimport (
    atomic_add_i32, atomic_load_i32, atomic_load_u32,
)
from c_prefetch cimport prefetch_line
from clients cimport CLIENT_OVERFLOW, CLIENT_SERVER, Client, clients_at, row_is_node
from conn cimport TIMER_GATE, Conn
from engine cimport Engine, engine_run_soon
from gatequeue cimport (
    GateQueue, gatequeue_pop, gatequeue_push, gatequeue_push_back_front,
    gatequeue_remove,
)
from grant cimport Answer, grant_ask, grant_client, grant_early
from line cimport Line, line_pop, line_push, line_remove
from mapping cimport mapping_free, mapping_new, mapping_new_dense
from transfer cimport TRANSFER_PARKED, TRANSFER_READY, Transfer
from wheel cimport Timer, timer_armed, wheel_arm, wheel_cancel, wheel_first_due


cdef enum:
    GATE_TURN_NS = 1000000   # a tick of the wheel
    # Two hundred wakes a second serve any number of clients; the time between two
    # grants (bucket_grants) is a whole number of them.
    GATE_GRID_NS = 5000000
    GATE_GRID_FROM_NS = 4 * GATE_GRID_NS   # a wait that is lengthened by a quarter


cdef inline int gate_init(Engine* e) noexcept nogil:
    """Queues for every row; a page is touched when one of its clients first waits."""
    cdef uint32_t row
    e.gates_n = e.clients.capacity
    e.gates = <GateQueue*>mapping_new_dense(sizeof(GateQueue) * e.gates_n)
    e.lines = <Line*>mapping_new(sizeof(Line) * CLIENT_OVERFLOW)
    if e.gates == NULL or e.lines == NULL:
        return -ENOMEM
    for row in range(CLIENT_OVERFLOW):
        e.lines[row].timer.kind = TIMER_GATE
        e.lines[row].timer.owner = row
    return 0


cdef inline void gate_free(Engine* e) noexcept nogil:
    mapping_free(e.gates, sizeof(GateQueue) * e.gates_n)
    mapping_free(e.lines, sizeof(Line) * CLIENT_OVERFLOW)
    e.gates = NULL
    e.lines = NULL


cdef inline GateQueue* gate_queue(Engine* e, uint32_t row) noexcept nogil:
    cdef GateQueue* q = &e.gates[row]
    q.row = row
    q.timer.owner = row
    q.timer.kind = TIMER_GATE
    return q


cdef inline void gate_count_queue(
    Client* node, uint8_t* counted, bint waits
) noexcept nogil:
    """Keep the bucket's count of the engines that wait for it."""
    if counted[0] == waits:
        return
    counted[0] = waits
    atomic_add_i32(&node.queues, 1 if waits else -1)


cdef inline int64_t gate_yield_ns(Client* node, uint32_t turn) noexcept nogil:
    """How much later than the bucket's own time an engine wakes, so that engines that
    wait for one bucket take turns: the longer ago its last turn, the sooner. Nothing is
    lost by it, because the tokens of the meantime stay in the bucket."""
    cdef int32_t others = atomic_load_i32(&node.queues) - 1
    cdef uint32_t since = atomic_load_u32(&node.turns) - turn
    if others <= 0 or since >= <uint32_t>others:
        return 0
    return <int64_t>(others - <int32_t>since) * GATE_TURN_NS


cdef inline void gate_arm_line(Engine* e, uint32_t row, int64_t wait_ns) noexcept nogil:
    cdef Client* node = clients_at(e.clients, row)
    cdef Line* line = &e.lines[row]
    gate_count_queue(node, &line.counted, True)
    wheel_arm(
        &e.wheel, &line.timer, e.now_ns + wait_ns + gate_yield_ns(node, line.turn))


cdef inline int64_t gate_due_ns(const Engine* e, int64_t wait_ns) noexcept nogil:
    """When a client wakes that waits for ``wait_ns``: a long wait ends on a grid, so
    that one wake of the loop serves many."""
    cdef int64_t due = e.now_ns + wait_ns
    if wait_ns < GATE_GRID_FROM_NS:
        return due
    return (due + GATE_GRID_NS - 1) // GATE_GRID_NS * GATE_GRID_NS


cdef inline bint gate_is_above(
    Engine* e, const GateQueue* q, uint32_t row
) noexcept nogil:
    """The node of ``row`` is above the client now: it may have had another group."""
    return row == CLIENT_SERVER or row == clients_at(e.clients, q.row).parent


cdef inline void gate_leave_old_line(Engine* e, GateQueue* q) noexcept nogil:
    """Nobody waits for tokens of a group that is not its own any more."""
    if q.in_line and not gate_is_above(e, q, q.in_line - 1):
        line_remove(&e.lines[q.in_line - 1], q)


cdef inline void gate_schedule(Engine* e, GateQueue* q, Answer answer) noexcept nogil:
    """Wake the queue when what refused it will have tokens again."""
    cdef Client* client = clients_at(e.clients, q.row)
    gate_leave_old_line(e, q)
    if row_is_node(answer.row):
        if q.in_line:
            return
        line_push(&e.lines[answer.row], answer.row, q)
        if not timer_armed(&e.lines[answer.row].timer):
            gate_arm_line(e, answer.row, answer.wait_ns)
        return
    gate_count_queue(client, &q.counted, True)
    wheel_arm(
        &e.wheel, &q.timer,
        gate_due_ns(e, answer.wait_ns) + gate_yield_ns(client, q.turn))


cdef inline void gate_count_parked(Engine* e, Transfer* t, int change) noexcept nogil:
    e.counters.parked += change
    atomic_add_i32(&grant_client(e, t).parked, change)


cdef inline bint gate_is_behind(Engine* e, const Transfer* t) noexcept nogil:
    """Others of its client wait here. That nobody waits anywhere says the client's row,
    which every grant reads: then the queue, another cache miss, is left alone."""
    return (
        atomic_load_i32(&grant_client(e, t).parked) != 0
        and e.gates[t.client].waiting != 0)


cdef inline bint gate_line_above(
    Engine* e, const Transfer* t, Answer* answer
) noexcept nogil:
    """Clients wait for a node above already: behind them."""
    cdef uint32_t parent = grant_client(e, t).parent
    answer.refused = True
    answer.wait_ns = 0
    answer.row = parent
    if e.lines[parent].first != NULL:
        return True
    answer.row = CLIENT_SERVER
    return e.lines[CLIENT_SERVER].first != NULL


cdef inline void gate_park(Engine* e, Transfer* t, Answer answer) noexcept nogil:
    cdef GateQueue* q = gate_queue(e, t.client)
    t.state = TRANSFER_PARKED
    e.counters.parks += 1
    gate_count_parked(e, t, 1)
    activity_mark(&e.clients.short_of, t.client)
    gatequeue_push(q, t)
    if q.waiting == 1:
        gate_schedule(e, q, answer)


cdef inline bint gate_pass(Engine* e, Transfer* t) noexcept nogil:
    """True with a grant; false when the transfer is parked and will be run again."""
    cdef Answer answer
    if gate_line_above(e, t, &answer):
        pass
    elif not gate_is_behind(e, t):
        answer = grant_ask(e, t)
        if not answer.refused:
            return True
        if not row_is_node(answer.row) and grant_early(e, t):
            return True
    elif grant_early(e, t):
        return True
    gate_park(e, t, answer)
    return False


cdef inline Answer gate_serve_one(Engine* e, GateQueue* q) noexcept nogil:
    """Ask for the next in turn of a queue that is not empty."""
    cdef Transfer* t = gatequeue_pop(q)
    cdef Answer answer = grant_ask(e, t)
    if answer.refused:
        gatequeue_push_back_front(q, t)
        return answer
    t.state = TRANSFER_READY
    gate_count_parked(e, t, -1)
    engine_run_soon(e, <Conn*>t.conn)
    return answer


cdef inline void gate_wake(Engine* e, GateQueue* q) noexcept nogil:
    """The client's bucket has tokens, or another rate: serve until it refuses."""
    cdef Answer answer
    while q.waiting and not q.in_line:
        answer = gate_serve_one(e, q)
        if answer.refused:
            gate_schedule(e, q, answer)
            return
    if q.waiting == 0:
        gate_count_queue(clients_at(e.clients, q.row), &q.counted, False)


cdef inline bint gate_serve_first(Engine* e, uint32_t row) noexcept nogil:
    """One quantum to the first of the line, who then goes to its end. False when the
    node has no tokens."""
    cdef Line* line = &e.lines[row]
    cdef GateQueue* q = line.first
    cdef Answer answer
    answer.refused = False
    if q.waiting:
        answer = gate_serve_one(e, q)
        if answer.refused and answer.row == row:
            gate_arm_line(e, row, answer.wait_ns)
            return False
    line_pop(line)
    if q.waiting == 0:
        gate_count_queue(clients_at(e.clients, q.row), &q.counted, False)
    elif answer.refused:
        gate_schedule(e, q, answer)
    elif gate_is_above(e, q, row):
        line_push(line, row, q)
    else:
        gate_wake(e, q)
    return True


cdef inline void gate_wake_line(Engine* e, uint32_t row) noexcept nogil:
    """The node's bucket has tokens: one quantum to each waiting client in turn."""
    while e.lines[row].first != NULL:
        if not gate_serve_first(e, row):
            return
    gate_count_queue(clients_at(e.clients, row), &e.lines[row].counted, False)


cdef inline void gate_look_ahead(Engine* e) noexcept nogil:
    """Ask memory for what the timer after this one will need, and for the one after
    that. Thousands may be due in one tick, and nothing of them is in a cache."""
    cdef const Timer* due = wheel_first_due(&e.wheel)
    cdef const GateQueue* q
    if due == NULL:
        return
    prefetch_line(due.link.next)
    if due.kind != TIMER_GATE or row_is_node(due.owner):
        return
    q = &e.gates[due.owner]
    prefetch_line(&q.waiting)
    prefetch_line(q.bulk.first if q.bulk.first != NULL else q.fresh.first)
    prefetch_line(clients_at(e.clients, due.owner))


cdef inline void gate_timer(Engine* e, uint32_t row) noexcept nogil:
    gate_look_ahead(e)
    if row_is_node(row):
        gate_wake_line(e, row)
    else:
        gate_wake(e, &e.gates[row])


cdef inline void gate_retime(Engine* e, uint32_t row) noexcept nogil:
    """The limit of ``row`` changed: let those who wait see it now."""
    if row_is_node(row):
        wheel_cancel(&e.wheel, &e.lines[row].timer)
        gate_wake_line(e, row)
        return
    if e.gates[row].waiting:
        gate_leave_old_line(e, &e.gates[row])
        wheel_cancel(&e.wheel, &e.gates[row].timer)
        gate_wake(e, &e.gates[row])


cdef inline void gate_retime_all(Engine* e) noexcept nogil:
    cdef uint32_t row
    for row in range(atomic_load_u32(&e.clients.used)):
        gate_retime(e, row)


cdef inline void gate_cancel(Engine* e, Transfer* t) noexcept nogil:
    """A parked transfer ends."""
    cdef GateQueue* q = gate_queue(e, t.client)
    gatequeue_remove(q, t)
    gate_count_parked(e, t, -1)
    t.state = TRANSFER_READY
    if q.waiting == 0:
        wheel_cancel(&e.wheel, &q.timer)
        gate_count_queue(clients_at(e.clients, q.row), &q.counted, False)
