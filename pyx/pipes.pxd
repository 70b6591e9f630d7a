"""Pipes: the bounded pool that carries file pages to sockets.

One scratch pipe serves all inline splices, because it is empty again before the loop
goes on. The others are out only while a cold read fills them, so a client that does not
read holds none. A pipe never goes back with bytes in it: they would reach the next
client.
"""

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from c_assert cimport ENGINE_ASSERT
from c_file cimport (
    F_GETPIPE_SZ, F_SETPIPE_SZ, O_CLOEXEC, O_NONBLOCK, O_WRONLY, SPLICE_F_MOVE,
    SPLICE_F_NONBLOCK, close, fcntl, open, pipe2, splice,
)
from transfer cimport Transfer


cdef struct Pipe:
    int reader
    int writer
    int64_t bytes      # what the kernel gave
    int next_free      # index, or -1

cdef struct Pipes:
    Pipe scratch
    Pipe* items
    int free           # first free item, or -1
    uint32_t count
    uint32_t used
    int devnull        # where leftovers go
    Transfer* waiting  # transfers that found the pool empty, oldest first
    Transfer* waiting_last


cdef inline int pipe_open(Pipe* p, uint32_t wish) noexcept nogil:
    """A pipe of at most ``wish`` bytes; the kernel may give less (its user limit)."""
    cdef int ends[2]
    if pipe2(ends, O_CLOEXEC) < 0:
        return -errno
    p.reader = ends[0]
    p.writer = ends[1]
    fcntl(p.writer, F_SETPIPE_SZ, <int>wish)  # void: the size is asked next
    p.bytes = fcntl(p.writer, F_GETPIPE_SZ)
    return 0


cdef inline void pipe_close(Pipe* p) noexcept nogil:
    if p.reader >= 0:
        close(p.reader)
    if p.writer >= 0:
        close(p.writer)
    p.reader = p.writer = -1


cdef inline void pipes_free(Pipes* ps) noexcept nogil:
    cdef uint32_t i
    pipe_close(&ps.scratch)
    if ps.devnull >= 0:
        close(ps.devnull)
    if ps.items != NULL:
        for i in range(ps.count):
            pipe_close(&ps.items[i])
        free(ps.items)
    ps.items = NULL


cdef inline int pipes_init(Pipes* ps, uint32_t count, uint32_t bytes) noexcept nogil:
    cdef uint32_t i
    cdef int rc
    ps.count = count
    ps.used = 0
    ps.free = -1
    ps.waiting = ps.waiting_last = NULL
    ps.devnull = open(b"/dev/null", O_WRONLY | O_CLOEXEC)
    ps.scratch.reader = ps.scratch.writer = -1
    ps.items = <Pipe*>calloc(count, sizeof(Pipe))
    if ps.items == NULL:
        return -12
    for i in range(count):
        ps.items[i].reader = ps.items[i].writer = -1
    if ps.devnull < 0:
        return -errno
    rc = pipe_open(&ps.scratch, bytes)
    for i in range(count):
        if rc < 0:
            return rc
        rc = pipe_open(&ps.items[i], bytes)
        ps.items[i].next_free = ps.free
        ps.free = <int>i
    return rc


cdef inline int pipes_take(Pipes* ps) noexcept nogil:
    """Index of an empty pipe, or -1."""
    cdef int i = ps.free
    if i >= 0:
        ps.free = ps.items[i].next_free
        ps.used += 1
    return i


cdef inline void pipes_give(Pipes* ps, int i) noexcept nogil:
    ENGINE_ASSERT(ps.used > 0)
    ps.items[i].next_free = ps.free
    ps.free = i
    ps.used -= 1


cdef inline bint pipe_ready(Pipe* p) noexcept nogil:
    """Whether ``p`` can be used; one that could not be opened anew is tried again."""
    return p.reader >= 0 or pipe_open(p, <uint32_t>p.bytes) == 0


cdef inline void pipes_discard(Pipes* ps, Pipe* p, int64_t n) noexcept nogil:
    """Throw the ``n`` bytes in ``p`` away: only references to pages are dropped."""
    cdef ssize_t gone
    while n > 0:
        gone = splice(
            p.reader, NULL, ps.devnull, NULL, <size_t>n,
            SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
        if gone < 0 and errno == EAGAIN:
            return  # it is empty: a socket that failed had taken some before
        if gone <= 0:
            pipe_close(p)
            pipe_ready(p)  # void: whoever uses it next asks
            return
        n -= gone


cdef inline void pipes_wait(Pipes* ps, Transfer* t) noexcept nogil:
    t.next = NULL
    if ps.waiting == NULL:
        ps.waiting = t
    else:
        ps.waiting_last.next = t
    ps.waiting_last = t


cdef inline Transfer* pipes_next_waiting(Pipes* ps) noexcept nogil:
    cdef Transfer* t = ps.waiting
    if t != NULL:
        ps.waiting = t.next
        t.next = NULL
    return t


cdef inline void pipes_unwait(Pipes* ps, Transfer* t) noexcept nogil:
    """Take ``t`` out of the queue; only a connection that ends pays this walk."""
    cdef Transfer* at = ps.waiting
    cdef Transfer* previous = NULL
    while at != NULL and at != t:
        previous = at
        at = at.next
    if at == NULL:
        return
    if previous == NULL:
        ps.waiting = t.next
    else:
        previous.next = t.next
    if ps.waiting_last == t:
        ps.waiting_last = previous
    t.next = NULL
