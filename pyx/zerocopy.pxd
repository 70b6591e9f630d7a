"""ZeroCopy: SEND_ZC of the memory of small files, for ``transmit = "zerocopy"``.

Such a send completes twice: the socket has taken the bytes, and, when the network has
let go of them, a notification. The image stays referenced until then, while the
connection goes on; nobody ever waits for a notification. io_uring_enter(2).
"""

from libc.errno cimport EINVAL, ENOMEM, EOPNOTSUPP
from libc.stdint cimport int64_t, uint32_t, uint64_t

from c_uring cimport *
from conn cimport Conn
from engine cimport OP_SEND_ZC, Engine
from image cimport Image, image_unref
from pool cimport pool_give, pool_take
from strategy cimport TRANSMIT_ZEROCOPY, ZEROCOPY_MIN_BYTES
from transfer cimport Transfer
from userdata cimport userdata_of_pointer


cdef struct ZeroCopy:
    Image* image          # referenced
    uint32_t slot         # of the connection
    uint32_t generation


cdef inline bint zerocopy_wanted(
    const Engine* e, const Transfer* t, int64_t n
) noexcept nogil:
    return (
        e.limits.transmit == TRANSMIT_ZEROCOPY and not e.zerocopy_refused
        and n >= ZEROCOPY_MIN_BYTES and t.image != NULL)


cdef inline ZeroCopy* zerocopy_begin(
    Engine* e, const Conn* c, Transfer* t
) noexcept nogil:
    """NULL when as many as may be are under way: then a plain SEND will do."""
    cdef ZeroCopy* z = <ZeroCopy*>pool_take(&e.zerocopies)
    if z == NULL:
        return NULL
    z.image = t.image
    z.image.refs += 1
    z.slot = c.slot
    z.generation = c.generation
    e.ring.in_flight += 1  # the notification; the result is the connection's
    e.counters.zerocopy += 1
    return z


cdef inline uint64_t zerocopy_userdata(const ZeroCopy* z) noexcept nogil:
    return userdata_of_pointer(z, OP_SEND_ZC)


cdef inline void zerocopy_end(Engine* e, ZeroCopy* z) noexcept nogil:
    e.ring.in_flight -= 1
    image_unref(z.image)
    pool_give(&e.zerocopies, z)


cdef inline bint zerocopy_is_refused(Engine* e, int res) noexcept nogil:
    """The kernel can not (-EOPNOTSUPP, -EINVAL), or may not lock more memory for this
    user (-ENOMEM): from now on everything is copied."""
    if res not in (-ENOMEM, -EOPNOTSUPP, -EINVAL):
        return False
    e.zerocopy_refused = True
    return True
