"""What the running kernel's io_uring offers; for ``penstock doctor``."""

from libc.string cimport memset

from c_uring cimport (
    IORING_FEAT_CQE_SKIP, IORING_FEAT_EXT_ARG, IORING_FEAT_FAST_POLL,
    IORING_FEAT_NATIVE_WORKERS, IORING_FEAT_NODROP, IORING_FEAT_SUBMIT_STABLE,
    IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE, IORING_OP_OPENAT2,
    IORING_OP_POLL_ADD, IORING_OP_READ, IORING_OP_RECV, IORING_OP_SEND,
    IORING_OP_SENDMSG, IORING_OP_SEND_ZC, IORING_OP_SPLICE, IORING_SETUP_COOP_TASKRUN,
    IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SUBMIT_ALL,
    io_uring, io_uring_free_probe, io_uring_get_probe, io_uring_opcode_supported,
    io_uring_params, io_uring_probe, io_uring_queue_exit, io_uring_queue_init_params,
)
from recvbufs cimport RecvBufs, recvbufs_free, recvbufs_init


SETUP_FLAGS = {
    "SINGLE_ISSUER": IORING_SETUP_SINGLE_ISSUER,
    "DEFER_TASKRUN": IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    "COOP_TASKRUN": IORING_SETUP_COOP_TASKRUN,
    "SUBMIT_ALL": IORING_SETUP_SUBMIT_ALL,
}
FEATURES = {
    "NODROP": IORING_FEAT_NODROP,
    "SUBMIT_STABLE": IORING_FEAT_SUBMIT_STABLE,
    "FAST_POLL": IORING_FEAT_FAST_POLL,
    "EXT_ARG": IORING_FEAT_EXT_ARG,
    "NATIVE_WORKERS": IORING_FEAT_NATIVE_WORKERS,
    "CQE_SKIP": IORING_FEAT_CQE_SKIP,
}
OPCODES = {
    "ACCEPT": IORING_OP_ACCEPT,
    "RECV": IORING_OP_RECV,
    "SEND": IORING_OP_SEND,
    "SENDMSG": IORING_OP_SENDMSG,
    "SPLICE": IORING_OP_SPLICE,
    "POLL_ADD": IORING_OP_POLL_ADD,
    "ASYNC_CANCEL": IORING_OP_ASYNC_CANCEL,
    "CLOSE": IORING_OP_CLOSE,
    "OPENAT2": IORING_OP_OPENAT2,
    "READ": IORING_OP_READ,
    "SEND_ZC": IORING_OP_SEND_ZC,
}


cdef int try_setup(uint32_t flags, uint32_t* features, bint* buffers) noexcept:
    """Make a ring and drop it again; 0 or -errno."""
    cdef io_uring ring
    cdef io_uring_params p
    cdef RecvBufs b
    cdef int rc
    memset(&p, 0, sizeof(p))
    p.flags = flags
    rc = io_uring_queue_init_params(8, &ring, &p)
    if rc < 0:
        return rc
    features[0] = p.features
    buffers[0] = recvbufs_init(&b, &ring, 8, 4096) == 0
    io_uring_queue_exit(&ring)
    if buffers[0]:
        recvbufs_free(&b)
    return 0


cdef dict probe_opcodes():
    cdef io_uring_probe* probe = io_uring_get_probe()
    if probe == NULL:
        return {name: False for name in OPCODES}
    found = {
        name: bool(io_uring_opcode_supported(probe, op))
        for name, op in OPCODES.items()}
    io_uring_free_probe(probe)
    return found


def probe_io_uring():
    cdef uint32_t features = 0
    cdef bint buffers = False
    cdef uint32_t ignored_features
    cdef bint ignored_buffers
    cdef int rc = try_setup(0, &features, &buffers)
    return {
        "errno": -rc,
        "setup_flags": {
            name: try_setup(flags, &ignored_features, &ignored_buffers) == 0
            for name, flags in SETUP_FLAGS.items()},
        "features": {name: bool(features & bit) for name, bit in FEATURES.items()},
        "opcodes": probe_opcodes(),
        "provided_buffer_ring": bool(buffers),
    }
