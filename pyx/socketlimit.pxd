"""SocketLimit: what a limited client's socket is told: how much it takes, how fast it
sends. Both follow the rate at which the client runs."""

from libc.stdint cimport int64_t

from conn cimport Conn
from engine cimport Engine
from grant cimport grant_client, grant_rate
from holders cimport holders_transfers
from pace cimport pace_socket
from transfer cimport Transfer
from unsent cimport unsent_bound


cdef inline void socketlimit_follow(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """The transfer waits for tokens: so its client is limited."""
    cdef int64_t rate = grant_rate(e, t)
    unsent_bound(c, rate)
    if e.clients.paces or c.pace_step:
        pace_socket(
            c, rate if e.clients.paces else 0,
            holders_transfers(&grant_client(e, t).holders))


cdef inline void socketlimit_lift(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """Its reader is slow. It may have been limited before, and is not any more."""
    if c.unsent_shift:
        unsent_bound(c, grant_rate(e, t))
    if c.pace_step and grant_rate(e, t) == 0:
        pace_socket(c, 0, 1)
