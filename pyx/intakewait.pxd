"""IntakeWait: how much of a body is awaited at a time.

A body comes in many small segments. Who brings it fast is woken for much at once, by
the socket's low-water mark; who brings it slowly must neither fill the kernel's memory
with what nobody fetches, nor hold a pipe or a block. So the mark is doubled as long as
it is reached soon, and halved when it is not.
"""

from libc.stdint cimport int64_t, uint32_t

from c_socket cimport (
    MSG_DONTWAIT, MSG_PEEK, POLLIN, SIOCINQ, SO_RCVLOWAT, SOL_SOCKET, ioctl, recv,
    setsockopt,
)
from c_time cimport NS_PER_MS
from c_uring cimport *
from conn cimport Conn
from engine cimport OP_BODY, Engine, conn_userdata
from intake cimport INTAKE_RECEIVING, Intake
from ring cimport ring_counted_sqe


cdef enum:
    # Below, a copy of what there is costs less than waiting, a pipe and a worker.
    INTAKEWAIT_LEAST_BYTES = 65536
    INTAKEWAIT_MOST_BYTES = 1048576
    # At the most that is 20 MB/s, at the least 1.3 MB/s.
    INTAKEWAIT_SOON_MS = 50


cdef inline int64_t intakewait_room(const Intake* i) noexcept nogil:
    """Bytes of the order that are still in the socket, or will be; not if chunked."""
    return min(i.left - i.buffer_n - i.piped, i.body_left)


cdef inline int64_t intakewait_input(const Conn* c) noexcept nogil:
    """Bytes that have come."""
    cdef int n = 0
    if ioctl(c.fd, SIOCINQ, &n) < 0:
        return 0
    return n


cdef inline bint intakewait_has_input(const Conn* c) noexcept nogil:
    """Less than the low-water mark may have come."""
    cdef char first
    return recv(c.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0


cdef inline void intakewait_tell(const Conn* c, int lowat) noexcept nogil:
    setsockopt(c.fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat))  # void: a wish


cdef inline void intakewait_lowat(Conn* c, Intake* i, int n) noexcept nogil:
    """Wake us for so much, or for the end. The kernel makes the window as large as the
    mark, and wakes already when nearly no window is left: so it is told of twice as
    much before."""
    if i.lowat == n or (n == 1 and i.lowat == 0):
        return
    if n > i.lowat_most:
        intakewait_tell(c, 2 * n)
        i.lowat_most = n
    i.lowat = n
    intakewait_tell(c, n)


cdef inline void intakewait_begin(Intake* i) noexcept nogil:
    i.step = INTAKEWAIT_LEAST_BYTES


cdef inline bint intakewait_is_fast(const Intake* i) noexcept nogil:
    return (
        i.step >= INTAKEWAIT_LEAST_BYTES and not i.stopping and not i.chunked
        and intakewait_room(i) >= INTAKEWAIT_LEAST_BYTES)


cdef inline void intakewait_learn(
    const Engine* e, Intake* i, int64_t here
) noexcept nogil:
    """The wait has ended with so much. A full window ends it early, which says that the
    peer is fast, and not that more would come."""
    if e.now_ns - i.waits_since_ns > INTAKEWAIT_SOON_MS * NS_PER_MS:
        i.step //= 2
    elif here >= i.step // 2:
        i.step = min(
            max(2 * i.step, <uint32_t>INTAKEWAIT_LEAST_BYTES),
            <uint32_t>INTAKEWAIT_MOST_BYTES)


cdef inline bint intakewait_is_step(const Intake* i, int64_t here) noexcept nogil:
    return here >= min(<int64_t>i.step, intakewait_room(i))


cdef inline void intakewait_poll(Engine* e, Conn* c, Intake* i) noexcept nogil:
    """Until a step is here."""
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    intakewait_lowat(c, i, <int>min(<int64_t>i.step, intakewait_room(i)))
    io_uring_prep_poll_add(sqe, c.fd, POLLIN)
    io_uring_sqe_set_data64(sqe, conn_userdata(c, OP_BODY))
    c.in_flight += 1
    i.polls = True
    i.waits_since_ns = e.now_ns
    i.state = INTAKE_RECEIVING
