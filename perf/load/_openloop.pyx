"""The open loop: request k is due at k / rate, whatever became of those before it.

A loop that waits for an answer before it asks again asks less while a server stalls, so
that a stall of a second counts as one slow request ("coordinated omission", Gil Tene,
"How NOT to Measure Latency"). Here the schedule is fixed before the first request. One
that finds no free connection waits for one, and its latency begins when it was due.

All connections are open and were used once. One epoll set, level-triggered; which file
is asked for is one request for all, whose answer has a known length.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from perf.errors import PerfError


cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    #define EVENTS 256
    #define BUFFER_BYTES 65536
    #define DISCARD_BYTES 1048576

    static inline int64_t load_now_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
    }
    static inline int load_watch(int epoll, int fd, uint32_t index) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
        event.data.u32 = index;
        return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    /* epoll_pwait2(2) by number: older C libraries than the kernel lack it. */
    static inline int load_wait(int epoll, struct epoll_event *events, int64_t ns) {
        struct timespec wait = {ns / 1000000000, ns % 1000000000};
        return syscall(SYS_epoll_pwait2, epoll, events, EVENTS, &wait, NULL, 0);
    }
    static inline uint32_t load_index(const struct epoll_event *event) {
        return event->data.u32;
    }
    """
    struct epoll_event:
        pass
    struct timespec:
        pass
    int EVENTS, BUFFER_BYTES, DISCARD_BYTES
    int EPOLL_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC
    int64_t load_now_ns()
    int load_watch(int epoll, int fd, uint32_t index)
    int load_wait(int epoll, epoll_event* events, int64_t ns)
    uint32_t load_index(const epoll_event* event)
    int epoll_create1(int flags)
    int close(int fd)
    ssize_t recv(int fd, void* buffer, size_t n, int flags)
    ssize_t send(int fd, const void* buffer, size_t n, int flags)


cdef enum Outcome:
    DONE
    STALLED      # nothing arrived for too long
    CLOSED       # by the server, while an answer was due or between answers
    NO_SUCCESS   # another status than 200
    TOO_LONG     # more bytes than the answer has
    FULL_SOCKET  # a request did not fit
    FAILED       # errno

_WORDS = {
    STALLED: "nothing arrived for too long",
    CLOSED: "the server closed a connection",
    NO_SUCCESS: "the server answered something else than 200",
    TOO_LONG: "the server sent more than the answer that it gave first",
    FULL_SOCKET: "a request did not fit into an empty socket",
}

cdef const char* SUCCESS = b"HTTP/1.1 200"
cdef enum:
    SUCCESS_BYTES = 12

cdef struct Stream:
    int fd
    int64_t k         # the request under way
    int64_t left      # bytes of its answer still to come; 0: free
    int64_t freed_ns

cdef struct Load:
    Stream* streams
    uint32_t* idle    # a ring of free streams, longest free first
    uint32_t idle_at
    uint32_t idle_n
    uint32_t n
    int epoll
    const char* request
    size_t request_bytes
    int64_t response_bytes
    double interval_ns
    int64_t* latency_ns
    int64_t* lateness_ns
    int64_t total
    int64_t sent
    int64_t done
    int64_t start_ns
    int64_t idle_ns   # waited for something to do
    int64_t stall_ns
    bint spin
    epoll_event* events
    uint8_t* buffer


cdef int64_t load_due_ns(const Load* l, int64_t k) noexcept nogil:
    return l.start_ns + <int64_t>(<double>k * l.interval_ns)


cdef void load_free(Load* l, uint32_t index, int64_t now_ns) noexcept nogil:
    l.streams[index].freed_ns = now_ns
    l.idle[(l.idle_at + l.idle_n) % l.n] = index
    l.idle_n += 1


cdef Outcome load_ask(Load* l, int64_t now_ns) noexcept nogil:
    """Send the next request over the connection that is free for longest."""
    cdef Stream* s = &l.streams[l.idle[l.idle_at]]
    cdef int64_t due_ns = load_due_ns(l, l.sent)
    cdef ssize_t n = send(s.fd, l.request, l.request_bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
    if n < 0:
        return FULL_SOCKET if errno == EAGAIN else CLOSED
    if <size_t>n != l.request_bytes:
        return FULL_SOCKET
    l.idle_at = (l.idle_at + 1) % l.n
    l.idle_n -= 1
    s.k = l.sent
    s.left = l.response_bytes
    # Our own delay: since it was due and a connection was free.
    l.lateness_ns[s.k] = now_ns - max(due_ns, s.freed_ns)
    l.sent += 1
    return DONE


cdef Outcome load_ask_due(Load* l) noexcept nogil:
    """Send what is due, as far as there are free connections."""
    cdef Outcome outcome
    cdef int64_t now_ns
    while l.idle_n and l.sent < l.total:
        now_ns = load_now_ns()
        if load_due_ns(l, l.sent) > now_ns:
            return DONE
        outcome = load_ask(l, now_ns)
        if outcome != DONE:
            return outcome
    return DONE


cdef ssize_t load_recv(Load* l, Stream* s) noexcept nogil:
    """The beginning of an answer is read, what follows only counted (tcp(7))."""
    if s.left == 0 or s.left == l.response_bytes:
        return recv(s.fd, l.buffer, BUFFER_BYTES, MSG_DONTWAIT)
    return recv(s.fd, l.buffer, DISCARD_BYTES, MSG_DONTWAIT | MSG_TRUNC)


cdef Outcome load_take(Load* l, uint32_t index) noexcept nogil:
    """Take what arrived on one connection."""
    cdef Stream* s = &l.streams[index]
    cdef ssize_t n = load_recv(l, s)
    cdef int64_t now_ns
    if n < 0:
        return DONE if errno == EAGAIN or errno == EINTR else CLOSED
    if n == 0:
        return CLOSED
    if n > s.left:
        return TOO_LONG
    if s.left == l.response_bytes and (
            n < SUCCESS_BYTES or memcmp(l.buffer, SUCCESS, SUCCESS_BYTES) != 0):
        return NO_SUCCESS
    s.left -= n
    if s.left == 0:
        now_ns = load_now_ns()
        l.latency_ns[s.k] = now_ns - load_due_ns(l, s.k)
        l.done += 1
        load_free(l, index, now_ns)
    return DONE


cdef int64_t load_patience_ns(const Load* l, int64_t now_ns) noexcept nogil:
    """How long nothing can be due."""
    if l.spin:
        return 0
    if l.idle_n == 0 or l.sent == l.total:
        return l.stall_ns
    return max(0, min(load_due_ns(l, l.sent) - now_ns, l.stall_ns))


cdef Outcome load_run(Load* l) noexcept nogil:
    cdef Outcome outcome
    cdef int64_t before_ns
    cdef int64_t moved_ns = load_now_ns()
    cdef int i, n
    l.start_ns = moved_ns
    while l.done < l.total:
        outcome = load_ask_due(l)
        if outcome != DONE:
            return outcome
        before_ns = load_now_ns()
        n = load_wait(l.epoll, l.events, load_patience_ns(l, before_ns))
        if n < 0 and errno != EINTR:
            return FAILED
        if n <= 0 or not l.spin:
            l.idle_ns += load_now_ns() - before_ns
        if n > 0 or l.sent == l.done:
            moved_ns = before_ns
        elif load_now_ns() - moved_ns >= l.stall_ns:
            return STALLED
        for i in range(n):
            outcome = load_take(l, load_index(&l.events[i]))
            if outcome == DONE:
                outcome = load_ask_due(l)
            if outcome != DONE:
                return outcome
    return DONE


cdef Outcome load_open(Load* l, fds) except *:
    """Memory and the epoll set."""
    cdef uint32_t index
    l.n = <uint32_t>len(fds)
    l.streams = <Stream*>calloc(l.n, sizeof(Stream))
    l.idle = <uint32_t*>calloc(l.n, sizeof(uint32_t))
    l.events = <epoll_event*>calloc(EVENTS, 16)  # the largest it is anywhere
    # What is discarded is not written (tcp(7), MSG_TRUNC), but recv is given its room.
    l.buffer = <uint8_t*>calloc(1, DISCARD_BYTES)
    if not (l.streams and l.idle and l.events and l.buffer):
        raise MemoryError
    l.epoll = epoll_create1(EPOLL_CLOEXEC)
    if l.epoll < 0:
        return FAILED
    for index in range(l.n):
        l.streams[index].fd = fds[index]
        load_free(l, index, 0)
        if load_watch(l.epoll, l.streams[index].fd, index) < 0:
            return FAILED
    return DONE


cdef void load_close(Load* l) noexcept:
    if l.epoll >= 0:
        close(l.epoll)
    free(l.streams)
    free(l.idle)
    free(l.events)
    free(l.buffer)


def run(
    list fds, bytes request, int64_t response_bytes, double rate_per_second,
    int64_t[::1] latency_ns, int64_t[::1] lateness_ns, bint spin, int64_t stall_ns
):
    """Send ``len(latency_ns)`` requests over ``fds`` by schedule and fill both arrays,
    in the order in which they were due; an infinite rate makes all due at the start.

    Returns nanoseconds from the first due time to the last answer, and how many of them
    were spent waiting. ``spin`` polls without a pause instead of sleeping.

    Raises:
        PerfError: the server closed, stalled or answered otherwise.
        OSError: epoll failed.
    """
    cdef Load l
    cdef Outcome outcome
    if len(lateness_ns) != len(latency_ns) or not fds or not len(latency_ns):
        raise ValueError("arrays of one length, and at least one connection")
    l.epoll = -1
    l.streams, l.idle, l.events, l.buffer = NULL, NULL, NULL, NULL
    l.idle_at = l.idle_n = 0
    l.request, l.request_bytes = request, len(request)
    l.response_bytes = response_bytes
    l.interval_ns = 1e9 / rate_per_second
    l.latency_ns, l.lateness_ns = &latency_ns[0], &lateness_ns[0]
    l.total = len(latency_ns)
    l.sent = l.done = l.idle_ns = 0
    l.spin, l.stall_ns = spin, stall_ns
    try:
        outcome = load_open(&l, fds)
        if outcome == DONE:
            with nogil:
                outcome = load_run(&l)
        if outcome == FAILED:
            raise OSError(errno, "epoll")
        if outcome != DONE:
            raise PerfError(f"{_WORDS[outcome]} ({l.done} of {l.total} were answered)")
        return load_now_ns() - l.start_ns, l.idle_ns
    finally:
        load_close(&l)
