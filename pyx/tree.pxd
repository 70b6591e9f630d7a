"""Tree: the control pass, which divides what the server and its groups have.

Ten times a second and more it looks at the clients that were active since the last time
(never at all rows), works out what each wants, divides by weight (``waterfill``) first
the server's rate among groups and clients without one, then each group's among its
members, and sets the rates at which their buckets run. A grant therefore looks at
buckets only, and knows nothing of weights.

* Who was refused tokens wants all it may have. Who was not wants what it got: what it
  leaves is lent to others, but its bucket still runs at its share, so that it can take
  that back at once.
* Who was not active at all runs at its own limit again. When it comes back, the buckets
  above it hold everybody together down until the next pass.
* What a node could have sent and did not is in its bucket; it is divided, too.
"""

from libc.errno cimport ENOMEM
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from activity cimport (
    ACTIVITY_WORD_BITS, activity_mark, activity_mark_all, activity_take,
)
from allowance cimport (
    ALLOWANCE_SHARED_DEPTH_MS, Allowance, allowance_ceil_bps, allowance_limit_bps,
    allowance_peak_permille, allowance_shape,
)
from bucket cimport bucket_fill_bytes, bucket_set_burst, bucket_set_rate
from c_atomic cimport atomic_load_i32, atomic_load_i64
from c_bits cimport word_lowest_bit
from clients cimport (
    CLIENT_GROUPS, CLIENT_OVERFLOW, CLIENT_SERVER, LIMITER_CLIENT, LIMITER_GROUP,
    LIMITER_NONE, LIMITER_SERVER, Client, Clients, clients_at, clients_cap_bps,
)
from holders cimport holders_transfers
from limits cimport RETIMES_MAX
from mapping cimport mapping_free, mapping_new
from waterfill cimport Share, waterfill


cdef enum:
    LISTED_BEFORE = 1
    LISTED_NOW = 2
    # Unused tokens of a node are divided over half a second.
    STOCK_PER_S = 2

cdef extern from *:
    """
    #define TREE_PASS_LEAST_NS INT64_C(1000000)
    #define TREE_STOCK_MOST 0.12   /* of the rate: the peak of the node's bucket */
    #define TREE_CLOSE 0.999       /* of a limit: bound by it */
    #define TREE_RETIME_GROWTH 1.5 /* of a rate: who waits is timed anew */
    """
    const int64_t TREE_PASS_LEAST_NS
    const double TREE_STOCK_MOST
    const double TREE_CLOSE
    const double TREE_RETIME_GROWTH

cdef struct Member:
    # An active client, or a group that has one, during one pass.
    uint32_t row
    uint32_t next        # of the same parent: 1 + index; 0: the last
    bint backlogged
    double own           # its own limit, INFINITY for none
    double ceil
    double least
    double want          # within its own limit
    double want_more     # within its ceil
    double got
    uint8_t bound        # Limiter

cdef struct Tree:
    Member* members        # by index, capacity of the client table
    Share* shares          # scratch
    uint32_t* before       # rows of the last pass
    uint32_t members_n
    uint32_t before_n
    uint32_t backlogged_n  # clients
    Member nodes[CLIENT_OVERFLOW]      # the server and groups
    uint32_t children[CLIENT_OVERFLOW] # of each: 1 + index of the first client
    uint32_t raised[RETIMES_MAX]       # rows whose waiters must be timed anew
    uint32_t raised_n
    bint raised_all                    # more than fit
    int64_t passed_ns
    bint divides           # the server or a group has something to divide


cdef inline int tree_init(Tree* t, uint32_t capacity, int64_t now_ns) noexcept nogil:
    memset(t, 0, sizeof(Tree))
    t.members = <Member*>mapping_new(sizeof(Member) * capacity)
    t.shares = <Share*>mapping_new(sizeof(Share) * capacity)
    t.before = <uint32_t*>mapping_new(sizeof(uint32_t) * capacity)
    t.passed_ns = now_ns
    if t.members == NULL or t.shares == NULL or t.before == NULL:
        return -ENOMEM
    return 0


cdef inline void tree_free(Tree* t, uint32_t capacity) noexcept nogil:
    mapping_free(t.members, sizeof(Member) * capacity)
    mapping_free(t.shares, sizeof(Share) * capacity)
    mapping_free(t.before, sizeof(uint32_t) * capacity)
    t.members = NULL
    t.shares = NULL
    t.before = NULL


cdef inline double limit_or_none(int64_t bps) noexcept nogil:
    return <double>bps if bps else INFINITY


cdef inline void member_limits(
    Member* m, const Client* c, int64_t cap_bps
) noexcept nogil:
    m.own = limit_or_none(allowance_limit_bps(&c.allowed, cap_bps))
    m.ceil = limit_or_none(allowance_ceil_bps(&c.allowed, cap_bps))


cdef inline void tree_add(
    Tree* t, Clients* clients, uint32_t row, bint short_of, double seconds
) noexcept nogil:
    """A client that was active or short of tokens since the last pass."""
    cdef Client* c = clients_at(clients, row)
    cdef Member* m = &t.members[t.members_n]
    cdef int64_t total = atomic_load_i64(&c.bytes_total)
    # Less than before: the row has been given to another client.
    cdef double used = <double>max(total - c.passed_bytes, 0) / seconds
    cdef bint parked = atomic_load_i32(&c.parked) > 0
    cdef uint32_t parent = c.parent
    m.row = row
    member_limits(m, c, clients_cap_bps(clients, row))
    c.passed_bytes = total
    m.backlogged = parked or (short_of and holders_transfers(&c.holders) > 0)
    m.want = m.own if m.backlogged else min(used, m.own)
    m.want_more = m.ceil if m.backlogged else m.want
    m.least = min(<double>c.allowed.min_bps, m.want)
    c.listed = LISTED_NOW
    c.backlogged = m.backlogged
    t.backlogged_n += m.backlogged
    if parked:  # who waits longer than a pass is not forgotten
        activity_mark(&clients.short_of, row)
    t.members_n += 1
    m.next = t.children[parent]
    t.children[parent] = t.members_n


cdef inline void tree_look(Tree* t, Clients* clients) noexcept nogil:
    """Find out whether anything is to be divided; after every change."""
    cdef const Client* c
    cdef uint32_t row
    t.divides = clients.default_cap_bps != 0  # rows that are new do not know of it
    for row in range(CLIENT_OVERFLOW):
        c = clients_at(clients, row)
        if allowance_limit_bps(&c.allowed, c.cap_bps):
            t.divides = True


cdef inline void tree_collect(
    Tree* t, Clients* clients, double seconds
) noexcept nogil:
    """The members of this pass. Where nothing is divided there are none, and no row is
    touched."""
    cdef uint64_t active, short_of, bit
    cdef uint32_t word
    t.members_n = t.backlogged_n = 0
    memset(t.children, 0, sizeof(t.children))
    for word in range(clients.active.words_n):
        active = activity_take(&clients.active, word)
        activity_mark_all(&clients.uncounted, word, active)
        short_of = activity_take(&clients.short_of, word)
        active |= short_of
        if clients.senses:
            activity_mark_all(&clients.unfed, word, active)
            activity_mark_all(&clients.unfed_short, word, short_of)
        while active and t.divides:
            bit = active & (~active + 1)
            active ^= bit
            tree_add(
                t, clients, word * ACTIVITY_WORD_BITS + word_lowest_bit(bit),
                short_of & bit != 0, seconds)


cdef inline void tree_sum(Tree* t, Clients* clients, uint32_t row) noexcept nogil:
    """What a group's members want is what it wants, within its own limits."""
    cdef Member* node = &t.nodes[row]
    cdef const Client* c = clients_at(clients, row)
    cdef uint32_t at = t.children[row]
    cdef const Member* m
    node.row = row
    member_limits(node, c, c.cap_bps)
    node.least = node.want = node.want_more = 0
    node.backlogged = False
    while at:
        m = &t.members[at - 1]
        at = m.next
        node.least += m.least
        node.want += m.want
        node.want_more += m.want_more
        node.backlogged = node.backlogged or m.backlogged
    node.want = min(node.want, node.own)
    node.want_more = max(min(node.want_more, node.ceil), node.want)
    node.least = min(max(node.least, <double>c.allowed.min_bps), node.want)


cdef inline uint32_t tree_gather_one(
    Tree* t, Clients* clients, Member* m, uint32_t n
) noexcept nogil:
    cdef Share* s = &t.shares[n]
    s.of = m
    s.weight = <double>clients_at(clients, m.row).allowed.weight
    s.least = m.least
    s.most = m.want
    return n + 1


cdef inline uint32_t tree_gather(
    Tree* t, Clients* clients, uint32_t row
) noexcept nogil:
    """A share for every child of ``row``; returns how many."""
    cdef uint32_t at = t.children[row]
    cdef uint32_t n = 0
    cdef uint32_t group
    while at:
        n = tree_gather_one(t, clients, &t.members[at - 1], n)
        at = t.members[at - 1].next
    if row == CLIENT_SERVER:
        for group in range(CLIENT_GROUPS, CLIENT_OVERFLOW):
            if t.children[group]:
                n = tree_gather_one(t, clients, &t.nodes[group], n)
    return n


cdef inline double tree_fill(Tree* t, uint32_t n, double capacity) noexcept nogil:
    """Within their own limits first; what is left then, within their ceils. Returns the
    level."""
    cdef double level = waterfill(t.shares, n, capacity)
    cdef uint32_t i
    if level != INFINITY:
        return level
    for i in range(n):
        t.shares[i].least = t.shares[i].got
        t.shares[i].most = max((<Member*>t.shares[i].of).want_more, t.shares[i].got)
    return waterfill(t.shares, n, capacity)


cdef inline uint8_t tree_bound(const Member* m, uint8_t above) noexcept nogil:
    """What keeps ``m`` from more: its own limits, or what is ``above``; nothing where
    it has all that it, or its members, want."""
    cdef double most = max(m.own, m.ceil)
    if m.got >= most * TREE_CLOSE:
        return LIMITER_CLIENT
    return LIMITER_NONE if m.got >= m.want_more * TREE_CLOSE else above


cdef inline void tree_divide(
    Tree* t, Clients* clients, uint32_t row, double capacity, uint8_t above
) noexcept nogil:
    """Give every child of ``row`` its part of ``capacity``."""
    cdef uint32_t n = tree_gather(t, clients, row)
    cdef double level = tree_fill(t, n, capacity)
    cdef double part
    cdef Member* m
    cdef uint32_t i
    for i in range(n):
        m = <Member*>t.shares[i].of
        m.got = t.shares[i].got
        if not m.backlogged:
            part = m.own if level == INFINITY else level * t.shares[i].weight
            m.got = max(m.got, min(part, m.own))
        m.bound = tree_bound(m, above)


cdef inline double tree_capacity(
    const Client* node, double rate, int64_t now_ns
) noexcept nogil:
    """The rate, and what it did not send of late."""
    cdef double stock = <double>bucket_fill_bytes(&node.bucket, now_ns)
    if rate == INFINITY:
        return rate
    return rate + min(max(stock, 0.0) * STOCK_PER_S, rate * TREE_STOCK_MOST)


cdef inline void tree_raise(
    Tree* t, const Client* c, uint32_t row, int64_t old, int64_t new
) noexcept nogil:
    """Whoever waits at the old rate would wait too long: note the row. Of more than can
    be noted, all are timed anew."""
    if old == 0 or (new and <double>new < <double>old * TREE_RETIME_GROWTH):
        return
    if not atomic_load_i32(&c.parked) and not atomic_load_i32(&c.queues):
        return
    if t.raised_n == RETIMES_MAX:
        t.raised_all = True
        return
    t.raised[t.raised_n] = row
    t.raised_n += 1


cdef inline void tree_set(
    Tree* t, Client* c, const Member* m, int64_t now_ns
) noexcept nogil:
    """Let the bucket run at what its owner got."""
    cdef int64_t old = atomic_load_i64(&c.bucket.rate_bps)
    cdef int64_t new = 0 if m.got == INFINITY else max(<int64_t>m.got, 1)
    c.bound = m.bound
    if m.got < m.own:
        bucket_set_burst(
            &c.bucket, min(ALLOWANCE_SHARED_DEPTH_MS, c.bucket.depth_ms),
            allowance_peak_permille(&c.allowed))
    else:
        allowance_shape(&c.allowed, &c.bucket)
    if new == old:
        return
    bucket_set_rate(&c.bucket, new, now_ns)
    tree_raise(t, c, m.row, old, new)


cdef inline void tree_release(
    Tree* t, Clients* clients, uint32_t row, int64_t now_ns
) noexcept nogil:
    """Nothing happened to it: back to its own limit."""
    cdef Client* c = clients_at(clients, row)
    cdef int64_t old = atomic_load_i64(&c.bucket.rate_bps)
    cdef int64_t new = allowance_limit_bps(&c.allowed, clients_cap_bps(clients, row))
    c.listed = c.backlogged = False
    c.bound = LIMITER_CLIENT
    allowance_shape(&c.allowed, &c.bucket)
    bucket_set_rate(&c.bucket, new, now_ns)
    tree_raise(t, c, row, old, new)


cdef inline void tree_apply(Tree* t, Clients* clients, int64_t now_ns) noexcept nogil:
    cdef uint32_t i
    for i in range(t.members_n):
        tree_set(t, clients_at(clients, t.members[i].row), &t.members[i], now_ns)
    for i in range(CLIENT_GROUPS, CLIENT_OVERFLOW):
        if t.children[i]:
            tree_set(t, clients_at(clients, i), &t.nodes[i], now_ns)
        elif t.nodes[i].row:
            tree_release(t, clients, i, now_ns)
            t.nodes[i].row = 0
    for i in range(t.before_n):
        if clients_at(clients, t.before[i]).listed != LISTED_NOW:
            tree_release(t, clients, t.before[i], now_ns)
    for i in range(t.members_n):
        t.before[i] = t.members[i].row
        clients_at(clients, t.before[i]).listed = LISTED_BEFORE
    t.before_n = t.members_n


cdef inline void tree_pass(Tree* t, Clients* clients, int64_t now_ns) noexcept nogil:
    """Divide; then ``raised`` has rows of which every engine should be told."""
    cdef double seconds = <double>(now_ns - t.passed_ns) / 1e9
    cdef Client* server = clients_at(clients, CLIENT_SERVER)
    cdef double total = limit_or_none(
        allowance_limit_bps(&server.allowed, server.cap_bps))
    cdef Member* node
    cdef uint32_t row
    if now_ns - t.passed_ns < TREE_PASS_LEAST_NS:
        return
    t.passed_ns = now_ns
    t.raised_n = 0
    t.raised_all = False
    tree_collect(t, clients, seconds)
    for row in range(CLIENT_GROUPS, CLIENT_OVERFLOW):
        if t.children[row]:
            tree_sum(t, clients, row)
    tree_divide(
        t, clients, CLIENT_SERVER, tree_capacity(server, total, now_ns), LIMITER_SERVER)
    for row in range(CLIENT_GROUPS, CLIENT_OVERFLOW):
        if t.children[row]:
            node = &t.nodes[row]
            tree_divide(
                t, clients, row,
                tree_capacity(clients_at(clients, row), node.got, now_ns),
                LIMITER_SERVER if node.bound == LIMITER_SERVER else LIMITER_GROUP)
    tree_apply(t, clients, now_ns)
