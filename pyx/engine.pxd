"""Engine: everything that one thread owns, and the small steps that all handlers share.

Nothing here is touched by another thread, except ``clients`` (atomic), ``inbox`` and
``outbox`` (mailboxes) and ``counters`` (read only).
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from c_assert cimport ENGINE_ASSERT
from c_llhttp cimport llhttp_settings_t
from c_prefetch cimport prefetch_line
from c_time cimport clock_monotonic_ns, clock_wall_s
from c_uring cimport io_uring_cqe
from c_atomic cimport atomic_load_ptr, atomic_store_u32
from clients cimport CLIENT_FIRST, Clients, clients_at
from coalesce cimport Coalesce
from blocks cimport Blocks, blocks_free, blocks_init
from conn cimport (
    CONN_OPEN, DEADLINE_IDLE, TIMER_CONN, Conn, conn_drop_pending,
)
from counters cimport Counters
from filecache cimport FileCache, filecache_free, filecache_init
from gatequeue cimport GateQueue
from http1 cimport http1_init, http1_settings
from httpdate cimport HTTPDATE_BYTES, httpdate_format
from identity cimport FORWARDED_IGNORED, Identity
from limits cimport (
    BRIEF_LASTS_NS, COPY_BYTES, CQE_BATCH, LISTENERS_MAX, MAILBOX_LETTERS,
    REFUSAL_SLOTS, ZEROCOPIES_MAX, ZEROCOPY_BYTES, Limits,
)
from intake cimport Intakes, intakes_free, intakes_init
from line cimport Line
from mailbox cimport Letter, Mailbox, mailbox_free, mailbox_init, mailbox_post
from mapping cimport mapping_free, mapping_new
from message cimport Message
from mime cimport MediaTypes
from pipes cimport Pipes, pipes_free, pipes_init
from pool cimport Pool, pool_free, pool_give, pool_init, pool_take
from recvbufs cimport RecvBufs
from request cimport Request, request_drop_lines, request_reset
from ring cimport Ring
from runlist cimport (
    RunList, runlist_at, runlist_free, runlist_init, runlist_pop, runlist_push,
    runlist_push_front,
)
from sense cimport Sense
from slab cimport (
    Slab, slab_at, slab_free, slab_generation, slab_init, slab_live, slab_release,
    slab_take,
)
from transfer cimport Transfer, transfer_reset
from userdata cimport userdata_pack
from wheel cimport (
    Timer, Wheel, timer_armed, wheel_arm, wheel_cancel, wheel_free, wheel_init,
)
from window cimport window_slot


cdef enum Op:
    OP_NONE          # nobody waits for this completion
    OP_ACCEPT        # slot: listener
    OP_MAILBOX
    OP_RECV          # slot and generation: connection, here and below
    OP_SEND
    OP_POLL
    OP_SPLICE
    OP_BODY
    OP_WRITE
    OP_OPEN          # the rest of user_data is a File*
    OP_READ          # likewise
    OP_SEND_ZC       # the rest of user_data is a ZeroCopy*

cdef enum:
    # How many turns before its own a connection, its transfer and its client's row are
    # asked for: each a few hundred nanoseconds before the next can be.
    AHEAD_CONN = 24
    AHEAD_TRANSFER = 16
    AHEAD_CLIENT = 8

cdef enum EngineState:
    ENGINE_STARTING
    ENGINE_SERVING
    ENGINE_DRAINING
    ENGINE_STOPPED

cdef enum Mail:
    MAIL_STOP = 1        # b: nanoseconds to drain
    MAIL_RETIME = 2      # a: row whose limit changed
    MAIL_RETIME_ALL = 3
    MAIL_READY = 16      # from here on: engine -> Trio
    MAIL_ACCEPT_PAUSED = 17   # b: errno
    MAIL_ACCEPT_RESUMED = 18
    MAIL_DRAINING = 19   # b: connections
    MAIL_STOPPED = 20    # b: connections that were cut

cdef struct Listener:
    Timer timer        # accept again after a failure
    int fd
    bint accepting     # the multishot ACCEPT is armed
    bint paused
    bint deferred      # TCP_DEFER_ACCEPT is set

cdef struct Engine:
    Ring ring
    RecvBufs recvbufs
    Slab conns
    Pool requests
    Pool transfers
    Pool messages          # one for each transfer
    Pool zerocopies        # SEND_ZC whose memory the network still has
    Wheel wheel
    FileCache files
    Pipes pipes
    GateQueue* gates       # by row of the client table, lazily touched
    Line* lines            # by row, of the server and the groups
    uint32_t gates_n
    Intakes intakes        # requests that Python answers
    Blocks blocks
    Sense* senses          # by slot of the connection, lazily touched
    int64_t sense_due_ns   # when the next sweep is
    uint32_t sense_at      # slot that was looked at last
    Timer drain_timer
    Clients* clients
    const Identity* identity   # since this turn of the loop began
    uint32_t identity_seen # its version; nothing older is looked at any more
    MediaTypes media_types
    Limits limits
    Coalesce coalesce
    Counters counters
    Mailbox inbox
    Mailbox outbox
    Listener listeners[LISTENERS_MAX]
    llhttp_settings_t http_settings
    io_uring_cqe batch[CQE_BATCH]
    RunList runnable       # to be advanced, oldest first
    RunList fresh          # likewise: their responses begin
    Conn* starved          # wait for provided buffers
    char* copy_buffer      # COPY_BYTES, empty between two calls
    int64_t now_ns
    int64_t brief_ns       # when a brief response last began
    int64_t date_s
    int64_t drain_cut      # connections that the deadline cut
    uint32_t advanced      # connections that had something to do in this round
    uint32_t listeners_n
    uint32_t standing      # accepts and the mailbox poll in flight
    uint32_t index
    int root_fd
    int cpu
    int error              # why the loop ended, -errno
    uint8_t state
    bint mailbox_armed
    bint zerocopy_refused  # by the kernel, once
    bint fresh_turn        # whose turn it was last
    char date[HTTPDATE_BYTES]


cdef inline void engine_adopt(Engine* e, const Identity* identity) noexcept nogil:
    """Tell clients apart by ``identity`` from now on, and let go of the one before."""
    e.identity = identity
    e.limits.reads_forwarded = identity.forwarded != FORWARDED_IGNORED
    e.limits.header_n = identity.header_n
    memcpy(e.limits.header, identity.header, sizeof(identity.header))
    atomic_store_u32(&e.identity_seen, identity.version)


cdef inline void engine_tick(Engine* e) noexcept nogil:
    """Read the clocks and look for a new identity, once a loop."""
    cdef int64_t wall = clock_wall_s()
    cdef const Identity* identity = <const Identity*>atomic_load_ptr(
        <void**>&e.clients.identity)
    if identity != e.identity:
        engine_adopt(e, identity)
    e.now_ns = clock_monotonic_ns()
    if wall != e.date_s:
        e.date_s = wall
        httpdate_format(wall, e.date)


cdef inline void engine_tell(Engine* e, uint32_t kind, int64_t value) noexcept nogil:
    """A letter for Trio; a full box drops it and counts that (``Mailbox.dropped``)."""
    cdef Letter letter
    letter.kind = kind
    letter.a = 0
    letter.b = value
    mailbox_post(&e.outbox, letter)


cdef inline void engine_run_soon(Engine* e, Conn* c) noexcept nogil:
    """Advance ``c`` later in this loop; handlers never call each other in circles."""
    runlist_push(&e.runnable, c)


cdef inline void engine_run_first(Engine* e, Conn* c) noexcept nogil:
    """As ``engine_run_soon``, before those that are on the list already."""
    runlist_push_front(&e.runnable, c)


cdef inline void engine_run_fresh(Engine* e, Conn* c) noexcept nogil:
    """A response begins. It takes turns with those under way, however many they are."""
    runlist_push(&e.fresh, c)


cdef inline uint32_t engine_runnable(const Engine* e) noexcept nogil:
    return e.runnable.n + e.fresh.n


cdef inline void engine_look_ahead(Engine* e, const RunList* l) noexcept nogil:
    """Ask memory for what those who come soon will need, while others have their turn.
    Of thousands nothing is in a cache, and three misses follow from each other:
    connection, transfer, client."""
    cdef Conn* c
    cdef Transfer* t
    if l.n > AHEAD_CONN:
        prefetch_line(runlist_at(l, AHEAD_CONN))
    if l.n > AHEAD_TRANSFER:
        c = runlist_at(l, AHEAD_TRANSFER)
        prefetch_line(c.transfer)
    if l.n > AHEAD_CLIENT:
        t = runlist_at(l, AHEAD_CLIENT).transfer
        if t != NULL:
            prefetch_line(clients_at(e.clients, t.client))
            prefetch_line(window_slot(
                &clients_at(e.clients, t.client).window, e.now_ns))
            prefetch_line(&t.span_done)
            prefetch_line(&t.message.spans[t.span])


cdef inline Conn* engine_next_of(Engine* e, RunList* l) noexcept nogil:
    engine_look_ahead(e, l)
    return runlist_pop(l)


cdef inline Conn* engine_next_runnable(Engine* e) noexcept nogil:
    """From the two lists in turn; NULL when both are empty."""
    e.fresh_turn = not e.fresh_turn
    if e.fresh.n and (e.fresh_turn or not e.runnable.n):
        return engine_next_of(e, &e.fresh)
    return engine_next_of(e, &e.runnable)


cdef inline bint engine_is_shared(const Engine* e) noexcept nogil:
    """Brief requests come beside whatever else goes on: they must not wait long."""
    return e.now_ns - e.brief_ns < BRIEF_LASTS_NS


cdef inline uint64_t conn_userdata(const Conn* c, uint8_t op) noexcept nogil:
    return userdata_pack(op, c.slot, c.generation)


cdef inline Conn* engine_conn(
    Engine* e, uint32_t slot, uint32_t generation
) noexcept nogil:
    """The connection that a completion names, or NULL when its slot moved on."""
    if not slab_live(&e.conns, slot, generation):
        return NULL
    return <Conn*>slab_at(&e.conns, slot)


cdef inline void conn_set_deadline(
    Engine* e, Conn* c, uint8_t which, int64_t wait_ns
) noexcept nogil:
    """Later deadlines cost nothing: the timer fires early and is armed again."""
    c.deadline = which
    c.deadline_ns = e.now_ns + wait_ns
    if not timer_armed(&c.timer) or c.timer.deadline_ns > c.deadline_ns:
        wheel_arm(&e.wheel, &c.timer, c.deadline_ns)


cdef inline Conn* engine_new_conn(Engine* e, int fd) noexcept nogil:
    """A connection in a fresh slot, or NULL when all are taken."""
    cdef int64_t slot = slab_take(&e.conns)
    cdef Conn* c
    if slot < 0:
        return NULL
    c = <Conn*>slab_at(&e.conns, <uint32_t>slot)  # zeroed
    c.slot = <uint32_t>slot
    c.generation = slab_generation(&e.conns, <uint32_t>slot)
    c.fd = fd
    c.state = CONN_OPEN
    c.timer.owner = <uint32_t>slot
    c.timer.kind = TIMER_CONN
    http1_init(&c.http, &e.http_settings)
    return c


cdef inline Request* engine_new_request(Engine* e) noexcept nogil:
    """Never NULL: the pool has one for every slot."""
    cdef Request* r = <Request*>pool_take(&e.requests)
    ENGINE_ASSERT(r != NULL)
    request_reset(r, &e.limits)
    return r


cdef inline void engine_drop_request(Engine* e, Conn* c) noexcept nogil:
    if c.request != NULL:
        request_drop_lines(c.request)
        pool_give(&e.requests, c.request)
        c.request = NULL


cdef inline Transfer* engine_new_transfer(Engine* e) noexcept nogil:
    """Never NULL: the pool has one for every slot."""
    cdef Transfer* t = <Transfer*>pool_take(&e.transfers)
    cdef Message* m = <Message*>pool_take(&e.messages)
    ENGINE_ASSERT(t != NULL and m != NULL)
    transfer_reset(t, m)
    return t


cdef inline void engine_drop_transfer(Engine* e, Conn* c) noexcept nogil:
    pool_give(&e.messages, c.transfer.message)
    pool_give(&e.transfers, c.transfer)
    c.transfer = NULL


cdef inline uint32_t engine_slots(const Engine* e) noexcept nogil:
    return e.limits.max_connections + REFUSAL_SLOTS


cdef inline int engine_init(Engine* e, uint64_t seed) noexcept nogil:
    """Memory and descriptors, everything but the ring; -errno on failure.

    ``limits``, ``clients``, ``root_fd`` and the listeners are set already.
    """
    cdef uint32_t slots = engine_slots(e)
    cdef int rc = 0
    http1_settings(&e.http_settings)
    rc = slab_init(&e.conns, slots, sizeof(Conn))
    if rc == 0:
        rc = runlist_init(&e.runnable, slots)
    if rc == 0:
        rc = runlist_init(&e.fresh, slots)
    if rc == 0:
        rc = pool_init(&e.requests, slots, sizeof(Request))
    if rc == 0:
        rc = pool_init(&e.transfers, slots, sizeof(Transfer), True)
    if rc == 0:
        rc = pool_init(&e.messages, slots, sizeof(Message))
    if rc == 0:
        rc = pool_init(&e.zerocopies, ZEROCOPIES_MAX, ZEROCOPY_BYTES)
    if rc == 0:
        rc = wheel_init(&e.wheel, clock_monotonic_ns())
    if rc == 0:
        rc = filecache_init(
            &e.files, e.limits.cache_entries, e.limits.cache_bytes, seed)
    if rc == 0:
        rc = mailbox_init(&e.inbox, MAILBOX_LETTERS)
    if rc == 0:
        rc = mailbox_init(&e.outbox, MAILBOX_LETTERS)
    if rc == 0:
        rc = intakes_init(&e.intakes, e.limits.max_intakes)
    if rc == 0:
        rc = blocks_init(&e.blocks, e.limits.max_intakes > 0)
    if rc == 0:
        rc = pipes_init(&e.pipes, e.limits.pipes, e.limits.pipe_bytes)
    if rc == 0:
        e.copy_buffer = <char*>malloc(COPY_BYTES)
        e.senses = <Sense*>mapping_new(sizeof(Sense) * slots)
        if e.copy_buffer == NULL or e.senses == NULL:
            rc = -ENOMEM
    return rc


cdef inline void engine_free(Engine* e) noexcept nogil:
    """Give back what ``engine_init`` took; the ring is gone already."""
    pipes_free(&e.pipes)
    free(e.copy_buffer)
    e.copy_buffer = NULL
    mapping_free(e.senses, sizeof(Sense) * engine_slots(e))
    e.senses = NULL
    intakes_free(&e.intakes)
    blocks_free(&e.blocks)
    mailbox_free(&e.inbox)
    mailbox_free(&e.outbox)
    if e.files.buckets != NULL:
        filecache_free(&e.files)
    wheel_free(&e.wheel)
    runlist_free(&e.runnable)
    runlist_free(&e.fresh)
    pool_free(&e.requests)
    pool_free(&e.transfers)
    pool_free(&e.messages)
    pool_free(&e.zerocopies)
    slab_free(&e.conns)
