"""Pace: let the kernel spread a quantum out (SO_MAX_PACING_RATE, socket(7)).

For clients whom the network holds (``feed``), and with ``shaping.pace_sockets`` for all
that are limited. A grant goes to the socket in one piece, and the network card sends it
at line rate: a burst of one quantum, 25 to 50 ms of the client's rate. Where buffers on
the way are small, that loses segments. A paced connection sends at no more than 1.25
times its part of the rate: a quantum has left when the next one comes. The kernel's
timer for it costs CPU (docs/performance.md has how much).
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from c_bits cimport word_log2
from c_socket cimport SO_MAX_PACING_RATE, SOL_SOCKET, setsockopt
from conn cimport Conn


cdef extern from *:
    """
    #define PACE_NONE (~UINT64_C(0))
    """
    const uint64_t PACE_NONE

cdef enum:
    # Of the part: a quantum leaves in four fifths of the time to the next one.
    PACE_PERCENT = 125
    PACE_LEAST_BPS = 1024


cdef inline uint8_t pace_step(uint64_t bps) noexcept nogil:
    """Quarters of an octave: a rate that changes by less costs no system call."""
    cdef int octave = word_log2(bps)
    return <uint8_t>(4 * octave + (bps >> (octave - 2) & 3))


cdef inline void pace_socket(
    Conn* c, int64_t rate_bps, int64_t transfers
) noexcept nogil:
    """``rate_bps`` is the client's, over all its ``transfers``; 0: no pace any more."""
    cdef uint64_t bps = PACE_NONE
    cdef uint8_t step = 0
    if rate_bps:
        bps = <uint64_t>max(
            rate_bps // max(transfers, 1) * PACE_PERCENT // 100, PACE_LEAST_BPS)
        step = pace_step(bps)
    if step != c.pace_step:
        c.pace_step = step
        setsockopt(  # void: where it fails, bursts stay as they are
            c.fd, SOL_SOCKET, SO_MAX_PACING_RATE, &bps, sizeof(bps))
