"""Strategy: how the bytes of a body get to the socket.

Chosen once, when a file enters the cache. Three cases are seen only later: a short
range of a long file, a small piece of one, and a connection whose congestion control
paces. All crossovers stand here, each with the measurement that set it;
docs/performance.md has the tables.
"""

from libc.stdint cimport int64_t, uint8_t


cdef enum Strategy:
    STRATEGY_MEMORY    # from the cache: head and body in one SEND
    STRATEGY_SENDFILE  # sendfile(2), inline
    STRATEGY_SPLICE    # file -> pipe -> socket, inline
    STRATEGY_COPY      # pread and send, inline, through one buffer (only if forced)

cdef enum TransmitMode:
    TRANSMIT_AUTO
    TRANSMIT_COPY
    TRANSMIT_SENDFILE
    TRANSMIT_SPLICE
    TRANSMIT_ZEROCOPY  # as auto, and SEND_ZC for what is sent from memory

cdef extern from *:
    """
    /* Memory against sendfile is ``limits.small_file_bytes``: at 16 KiB a SEND of a
       copy costs 0.84 of sendfile's CPU, at 32 KiB 1.08, at 64 KiB 1.17. */
    /* Sendfile against splice: 32 KiB 0.99, 64 KiB 1.00, 128 KiB 1.07. Its own pipe
       holds 64 KiB. Pieces of larger files for thousands of paced readers, nothing in
       a cache: 2.5 KiB 0.97, 16 KiB 0.90, 26 KiB 0.8, 52 KiB 0.90, 100 KiB 0.98. */
    #define SENDFILE_MAX_BYTES INT64_C(65536)
    /* A range that fits behind the head in the message's own text: one SEND for both,
       one system call for the file. */
    #define COPIED_RANGE_MAX_BYTES INT64_C(8192)
    /* With BBR every segment that comes too early costs a timer, a third of all CPU. 16
       connections that take turns with pieces of 1 MiB cost 1.25 times as much as with
       256 KiB, of 64 KiB the same: a connection's next turn finds its pace paid off. */
    #define PACED_PIECE_BYTES INT64_C(262144)
    /* Below about 10 KB pinning costs more than copying (kernel doc: msg_zerocopy). */
    #define ZEROCOPY_MIN_BYTES INT64_C(16384)
    """
    const int64_t SENDFILE_MAX_BYTES
    const int64_t COPIED_RANGE_MAX_BYTES
    const int64_t PACED_PIECE_BYTES
    const int64_t ZEROCOPY_MIN_BYTES


cdef inline uint8_t strategy_of_file(
    uint8_t mode, int64_t size, int64_t memory_max
) noexcept nogil:
    """For a whole file of ``size`` bytes on a connection that does not pace."""
    if size <= memory_max:
        return STRATEGY_MEMORY
    if mode == TRANSMIT_COPY:
        return STRATEGY_COPY
    if mode == TRANSMIT_SENDFILE:
        return STRATEGY_SENDFILE
    if mode == TRANSMIT_SPLICE:
        return STRATEGY_SPLICE
    return STRATEGY_SENDFILE if size <= SENDFILE_MAX_BYTES else STRATEGY_SPLICE


cdef inline uint8_t strategy_of_piece(
    uint8_t mode, uint8_t strategy, int64_t n
) noexcept nogil:
    """For ``n`` bytes of a larger file: a small grant, or what a slow reader takes."""
    if mode not in (TRANSMIT_AUTO, TRANSMIT_ZEROCOPY) or n > SENDFILE_MAX_BYTES:
        return strategy
    return STRATEGY_SENDFILE
