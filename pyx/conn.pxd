"""Conn: one client socket, and what hangs on it.

A connection owns a protocol (``Http1``), at most one request whose head is being read
or resolved, and at most one transfer. An idle one has neither: it costs its slot only.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

from cidr cimport ADDRESS_BYTES
from filecache cimport File
from http1 cimport Http1
from intake cimport Intake
from limits cimport PENDING_BYTES_MAX, PENDING_FIRST_BYTES, PENDING_PAUSE_BYTES
from request cimport Request
from transfer cimport Transfer
from wheel cimport Timer


cdef enum ConnState:
    CONN_OPEN
    CONN_LINGERING    # our FIN is out; input is thrown away until theirs
    CONN_CLOSING      # shut down; waits for its SQEs to come back

cdef enum Pacing:
    PACING_UNKNOWN    # not asked yet
    PACING_NOT
    PACING_YES        # the congestion control spaces segments out by timers

cdef enum Deadline:
    DEADLINE_IDLE     # no request begun
    DEADLINE_HEADER   # a request begun and not complete
    DEADLINE_WRITE    # a response that must make progress
    DEADLINE_LINGER
    DEADLINE_BODY     # a request's body that is wanted

cdef enum TimerKind:
    TIMER_CONN = 1    # owner: slot
    TIMER_GATE = 2    # owner: row of the client table
    TIMER_ACCEPT = 3  # owner: index of the listener
    TIMER_DRAIN = 4

cdef struct Conn:
    # First what a turn on the run list looks at and changes.
    Timer timer            # armed at deadline_ns or earlier
    int64_t deadline_ns    # the real one; a timer that fires early is armed again
    Transfer* transfer     # being sent
    Intake* intake         # Python's request, until it is answered
    int fd
    uint8_t state
    uint8_t deadline       # which Deadline
    uint8_t pacing         # which Pacing
    uint8_t runnable       # is in one of the engine's run lists
    uint32_t slot
    uint32_t generation
    # Then what requests need.
    uint32_t in_flight     # SQEs and waits that will still come back
    uint32_t client        # row of its address, held
    uint32_t identity      # version of the identity by which that was found
    uint32_t requests      # served or refused so far
    uint32_t linger_bytes  # thrown away
    Conn* waiter_next      # in a file's list of waiters
    Conn* next_starved     # in the engine's list of starved connections
    Request* request       # being read or resolved
    File* file             # resolved or being opened, for request
    char* pending          # input that belongs to later requests
    uint32_t pending_n
    uint32_t pending_at    # already used
    uint32_t pending_cap   # bytes of memory at pending
    uint8_t receiving      # a multishot RECV is armed
    uint8_t pausing        # and is being cancelled
    uint8_t starved        # waits for provided buffers
    uint8_t peer_closed    # the peer's FIN was seen
    uint8_t refusing       # came when all slots were taken: 503
    uint8_t counted        # in its client's connections
    uint8_t pace_step      # of the pace that the kernel was told (pace.pxd); 0: none
    uint8_t unsent_shift   # log2 of the bound on unsent bytes (unsent.pxd); 0: none
    uint8_t has_address    # the peer's, which follows
    uint8_t proxied        # and it is a trusted proxy's
    uint8_t by_network     # the row is that of a network's client
    uint8_t address[ADDRESS_BYTES]
    Http1 http


cdef inline uint32_t conn_pending(const Conn* c) noexcept nogil:
    return c.pending_n - c.pending_at


cdef inline void conn_drop_pending(Conn* c) noexcept nogil:
    if c.pending != NULL:
        free(c.pending)
    c.pending = NULL
    c.pending_n = c.pending_at = c.pending_cap = 0


cdef inline bint conn_make_room(Conn* c, size_t n) noexcept nogil:
    """``n`` more bytes fit behind the pending ones; false without memory. Doubles, so
    that input that comes in many pieces is not copied for each of them."""
    cdef uint32_t left = conn_pending(c)
    cdef uint32_t cap = PENDING_FIRST_BYTES
    cdef char* grown
    if c.pending_n + n <= c.pending_cap:
        return True
    while cap < left + n:
        cap *= 2
    grown = <char*>malloc(cap)
    if grown == NULL:
        return False
    if left:
        memcpy(grown, c.pending + c.pending_at, left)
    free(c.pending)
    c.pending = grown
    c.pending_cap = cap
    c.pending_n = left
    c.pending_at = 0
    return True


cdef inline bint conn_keep_pending(
    Conn* c, const char* data, size_t n
) noexcept nogil:
    """Append input for later; false when it is too much or memory is out."""
    if conn_pending(c) + n > PENDING_BYTES_MAX or not conn_make_room(c, n):
        return False
    memcpy(c.pending + c.pending_n, data, n)
    c.pending_n += <uint32_t>n
    return True


cdef inline bint conn_should_pause(const Conn* c) noexcept nogil:
    return conn_pending(c) >= PENDING_PAUSE_BYTES


cdef inline bint conn_ends(const Conn* c) noexcept nogil:
    """The response under way is its last: input that comes now is for nobody."""
    return c.transfer != NULL and c.transfer.close_after


cdef inline bint conn_busy(const Conn* c) noexcept nogil:
    """A request is being resolved or answered: later ones wait."""
    return c.transfer != NULL or c.file != NULL or c.intake != NULL
