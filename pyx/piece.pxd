"""Piece: how much of a file a socket is offered at once, if there is so much."""

from libc.stdint cimport int64_t

from conn cimport Conn
from engine cimport Engine, engine_is_shared
from limits cimport COPY_BYTES, SHARED_MOVE_BYTES
from residency cimport PAGE_BYTES
from sockmode cimport sockmode_paces
from strategy cimport PACED_PIECE_BYTES, STRATEGY_COPY
from transfer cimport Transfer


cdef inline int64_t piece_most(
    Engine* e, Conn* c, Transfer* t, int64_t offset
) noexcept nogil:
    """From ``offset`` of the file on."""
    cdef int64_t most
    if t.strategy == STRATEGY_COPY:
        return min(t.window_bytes, COPY_BYTES)
    # A pipe carries whole pages: where the range begins inside one, the last would be
    # left over, and every later piece would be cut in two.
    most = min(t.window_bytes, e.pipes.scratch.bytes - (offset & (PAGE_BYTES - 1)))
    if engine_is_shared(e):
        return min(most, SHARED_MOVE_BYTES)
    if e.advanced > 1 and sockmode_paces(c):
        return min(most, PACED_PIECE_BYTES)
    return most
