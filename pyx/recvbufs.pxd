"""RecvBufs: the provided buffers that multishot RECV fills.

A buffer goes back to the kernel in the same loop in which it came: what cannot be
parsed yet is copied to its connection. So the ring can only run dry within one batch
of completions, and a slow connection never holds a buffer.

The kernel hands them out in turn, so that as many are touched as it has. It gets few at
first, which stay in the CPU's cache, and twice as many whenever a batch runs dry.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from c_file cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap,
)
from c_uring cimport *


cdef struct RecvBufs:
    io_uring_buf_ring* ring   # shared with the kernel
    char* memory              # count x bytes
    uint32_t count            # a power of two
    uint32_t bytes            # of each buffer
    uint32_t used             # of count: those in circulation
    uint32_t returned         # given back, not yet shown to the kernel

cdef enum:
    RECV_GROUP = 0
    # A batch under load (COALESCE_MOST).
    RECV_FIRST_BUFFERS = 64
    RING_ENTRY_BYTES = 16     # struct io_uring_buf


cdef inline void* recvbufs_map(size_t n) noexcept nogil:
    cdef void* at = mmap(
        NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    return NULL if at == MAP_FAILED else at


cdef inline void recvbufs_free(RecvBufs* b) noexcept nogil:
    """Unmap; the ring that used the buffers must be gone."""
    if b.ring != NULL:
        munmap(b.ring, b.count * RING_ENTRY_BYTES)
    if b.memory != NULL:
        munmap(b.memory, <size_t>b.count * b.bytes)
    b.ring = NULL
    b.memory = NULL


cdef inline void recvbufs_return(RecvBufs* b, uint16_t bid) noexcept nogil:
    io_uring_buf_ring_add(
        b.ring, b.memory + <size_t>bid * b.bytes, b.bytes, bid,
        <int>(b.count - 1), <int>b.returned)
    b.returned += 1


cdef inline void recvbufs_publish(RecvBufs* b) noexcept nogil:
    if b.returned:
        io_uring_buf_ring_advance(b.ring, <int>b.returned)
        b.returned = 0


cdef inline void recvbufs_grow(RecvBufs* b) noexcept nogil:
    """A batch ran dry: bring as many again into circulation, while there are some."""
    cdef uint32_t i
    cdef uint32_t before = b.used
    b.used = min(b.count, max(RECV_FIRST_BUFFERS, 2 * before))
    for i in range(before, b.used):
        recvbufs_return(b, <uint16_t>i)


cdef inline int recvbufs_init(
    RecvBufs* b, io_uring* uring, uint32_t count, uint32_t bytes
) noexcept nogil:
    cdef io_uring_buf_reg reg
    cdef int rc
    b.count = count
    b.bytes = bytes
    b.used = b.returned = 0
    b.ring = <io_uring_buf_ring*>recvbufs_map(count * RING_ENTRY_BYTES)
    b.memory = <char*>recvbufs_map(<size_t>count * bytes)
    if b.ring == NULL or b.memory == NULL:
        recvbufs_free(b)
        return -ENOMEM
    memset(&reg, 0, sizeof(reg))
    reg.ring_addr = <uint64_t><size_t>b.ring
    reg.ring_entries = count
    reg.bgid = RECV_GROUP
    rc = io_uring_register_buf_ring(uring, &reg, 0)
    if rc < 0:
        recvbufs_free(b)
        return rc
    io_uring_buf_ring_init(b.ring)
    recvbufs_grow(b)
    recvbufs_publish(b)
    return 0


cdef inline char* recvbufs_at(RecvBufs* b, uint16_t bid) noexcept nogil:
    return b.memory + <size_t>bid * b.bytes
