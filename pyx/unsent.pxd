"""Unsent: how much a limited client's socket holds that the network has not taken yet.

The kernel lets a send buffer grow to megabytes. A reader that stops would have them
filled with its client's tokens, while other transfers of the client wait. So the socket
of a limited client takes no more than two quanta ahead of the network
(TCP_NOTSENT_LOWAT, tcp(7)); one that keeps up never gets there. Where the operator set
a bound for the listener, that one holds.
"""

from libc.stdint cimport int64_t, uint8_t

from bucket cimport bucket_quantum
from c_socket cimport IPPROTO_TCP, TCP_NOTSENT_LOWAT, getsockopt, setsockopt
from conn cimport Conn


cdef enum:
    # Bounds are powers of two, so that a rate that changes all the time does not cost a
    # system call each time.
    UNSENT_SHIFT_LEAST = 14
    UNSENT_SHIFT_MOST = 21
    UNSENT_THEIRS = 0xFF   # the operator's, or none could be set


cdef inline uint8_t unsent_shift(int64_t rate_bps) noexcept nogil:
    """Of the bound at this rate; 0: none."""
    cdef int64_t wanted = 2 * bucket_quantum(rate_bps)
    cdef uint8_t shift = UNSENT_SHIFT_LEAST
    if rate_bps == 0:
        return 0
    while shift < UNSENT_SHIFT_MOST and (<int64_t>1 << shift) < wanted:
        shift += 1
    return shift


cdef inline bint unsent_is_theirs(Conn* c) noexcept nogil:
    """Asked once, before the first bound of our own."""
    cdef int value = 0
    cdef unsigned int n = sizeof(value)
    return (
        getsockopt(c.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, &n) < 0 or value != 0)


cdef inline void unsent_bound(Conn* c, int64_t rate_bps) noexcept nogil:
    """Set what fits the rate, 0 being unlimited, unless it is set already."""
    cdef uint8_t shift
    cdef int value
    if c.unsent_shift == UNSENT_THEIRS:
        return
    shift = unsent_shift(rate_bps)
    if shift == c.unsent_shift:
        return
    if c.unsent_shift == 0 and unsent_is_theirs(c):
        c.unsent_shift = UNSENT_THEIRS
        return
    value = 1 << shift if shift else 0  # 0: the system's own
    if setsockopt(c.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, sizeof(value)) < 0:
        shift = UNSENT_THEIRS
    c.unsent_shift = shift
