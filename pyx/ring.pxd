"""Ring: one io_uring, owned by the thread that made it.

``in_flight`` counts the SQEs whose last CQE has not come, without the standing ones
(accept, mailbox), so that zero means: nobody is owed anything.
"""

from libc.errno cimport EINVAL
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from c_assert cimport ENGINE_FATAL
from c_time cimport NS_PER_S
from c_uring cimport *
from limits cimport CQ_PER_SQ


cdef struct Ring:
    io_uring uring
    bint open
    uint32_t setup_flags   # what the kernel agreed to
    uint32_t in_flight


cdef enum:
    # Tries to hand a full SQ to a kernel that says EAGAIN or EBUSY, before giving up.
    RING_SUBMIT_TRIES = 1000


cdef inline int ring_setup_try(
    Ring* r, uint32_t entries, uint32_t flags
) noexcept nogil:
    cdef io_uring_params p
    memset(&p, 0, sizeof(p))
    p.flags = flags | IORING_SETUP_CQSIZE
    p.cq_entries = entries * CQ_PER_SQ
    r.setup_flags = p.flags
    return io_uring_queue_init_params(entries, &r.uring, &p)


cdef inline int ring_init(Ring* r, uint32_t entries, uint32_t workers) noexcept nogil:
    """Make the ring in the calling thread; -errno when the kernel refuses.

    Tries the flags of Linux 6.1 first and steps down on EINVAL.
    """
    cdef unsigned int caps[2]
    cdef uint32_t best = (
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
        | IORING_SETUP_SUBMIT_ALL)
    cdef int rc
    r.open = False
    r.in_flight = 0
    rc = ring_setup_try(r, entries, best)
    if rc == -EINVAL:
        rc = ring_setup_try(
            r, entries, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL)
    if rc < 0:
        return rc
    if not r.uring.features & IORING_FEAT_EXT_ARG:
        io_uring_queue_exit(&r.uring)
        return -EINVAL
    r.open = True
    io_uring_register_ring_fd(&r.uring)  # void: only saves an fdget per enter
    # Unbounded by default (RLIMIT_NPROC): slow disks would make threads without end.
    caps[0] = caps[1] = workers
    return io_uring_register_iowq_max_workers(&r.uring, caps)


cdef inline void ring_exit(Ring* r) noexcept nogil:
    if r.open:
        io_uring_queue_exit(&r.uring)
    r.open = False


cdef inline io_uring_sqe* ring_sqe(Ring* r) noexcept nogil:
    """An SQE to prepare (user_data after the prep call); never NULL.

    A full queue is submitted first. SUBMIT_ALL makes the kernel take all of it, so
    running out of tries means that it has stopped taking anything.
    """
    cdef io_uring_sqe* sqe = io_uring_get_sqe(&r.uring)
    cdef int tries = 0
    while sqe == NULL:
        io_uring_submit(&r.uring)
        sqe = io_uring_get_sqe(&r.uring)
        tries += 1
        if tries > RING_SUBMIT_TRIES:
            ENGINE_FATAL("the kernel does not take submissions")
    return sqe


cdef inline io_uring_sqe* ring_counted_sqe(Ring* r) noexcept nogil:
    r.in_flight += 1
    return ring_sqe(r)


cdef inline int ring_enter(Ring* r, int64_t wait_ns, uint32_t want) noexcept nogil:
    """Submit, and wait up to ``wait_ns`` for ``want`` completions; -errno on failure.

    ETIME and EINTR are not failures.
    """
    cdef io_uring_cqe* cqe
    cdef __kernel_timespec t
    if wait_ns <= 0:
        return io_uring_submit_and_get_events(&r.uring)
    t.tv_sec = wait_ns // NS_PER_S
    t.tv_nsec = wait_ns % NS_PER_S
    return io_uring_submit_and_wait_timeout(&r.uring, &cqe, want, &t, NULL)
