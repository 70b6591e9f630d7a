"""SocketLimit: what a limited client's socket is told: how much it takes, how fast it
sends. Both follow the rate at which the client runs."""

from libc.stdint cimport int64_t, uint32_t

from c_atomic cimport atomic_load_i32
from clients cimport Clients
from conn cimport Conn
from engine cimport Engine
from grant cimport grant_client, grant_rate
from pace cimport pace_socket
from transfer cimport TRANSFER_PARKED, Transfer
from unsent cimport unsent_bound


cdef inline bint socketlimit_paces(const Clients* t, uint32_t row) noexcept nogil:
    """Whoever's path was congested has no room on it for bursts: there a grant that
    leaves at once is dropped, and the loss takes more of the window."""
    return t.paces or (t.senses and t.feeds[row].congested)


cdef inline void socketlimit_pace(
    Engine* e, Conn* c, Transfer* t, int64_t rate_bps
) noexcept nogil:
    """Its part of the rate is that of those who compete for tokens, of whom it is one
    whether it waits now or not: others of its client may have stopped reading."""
    pace_socket(
        c, rate_bps if socketlimit_paces(e.clients, t.client) else 0,
        atomic_load_i32(&grant_client(e, t).parked) + (t.state != TRANSFER_PARKED))


cdef inline void socketlimit_follow(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """The transfer waits for tokens: so its client is limited."""
    cdef int64_t rate = grant_rate(e, t)
    unsent_bound(c, rate)
    if c.pace_step or socketlimit_paces(e.clients, t.client):
        socketlimit_pace(e, c, t, rate)


cdef inline void socketlimit_lift(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """Its reader is slow, or its pace is: what it was told may not hold any more."""
    if c.unsent_shift:
        unsent_bound(c, grant_rate(e, t))
    if c.pace_step:
        socketlimit_pace(e, c, t, grant_rate(e, t))
