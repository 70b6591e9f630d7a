"""Charge: which buckets on the way up a grant was charged to, and the way back.

A node may get a limit, lose it or change its place while bytes are in flight. Only what
was charged is given back, and only where: else a limit that is set during a download
would begin with tokens that nobody has earned.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from bucket cimport bucket_refund
from clients cimport (
    CLIENT_GROUPS, CLIENT_OVERFLOW, CLIENT_SERVER, Clients, clients_at,
)


cdef enum:
    CHARGE_CLIENT = 1
    CHARGE_GROUP = 2
    CHARGE_SERVER = 4

cdef struct Charge:
    uint8_t levels
    uint8_t group    # of CHARGE_GROUP: its row, counted from CLIENT_GROUPS


cdef inline Charge charge_none() noexcept nogil:
    cdef Charge c
    c.levels = c.group = 0
    return c


cdef inline void charge_add(Charge* c, uint32_t row) noexcept nogil:
    """The bucket of ``row`` was charged, too."""
    if row == CLIENT_SERVER:
        c.levels |= CHARGE_SERVER
    elif row < CLIENT_OVERFLOW:
        c.levels |= CHARGE_GROUP
        c.group = <uint8_t>(row - CLIENT_GROUPS)
    else:
        c.levels |= CHARGE_CLIENT


cdef inline void charge_refund(
    Clients* t, uint32_t client, Charge c, int64_t n_bytes
) noexcept nogil:
    """Undo it, for ``n_bytes`` of it."""
    if c.levels & CHARGE_CLIENT:
        bucket_refund(&clients_at(t, client).bucket, n_bytes)
    if c.levels & CHARGE_GROUP:
        bucket_refund(&clients_at(t, CLIENT_GROUPS + c.group).bucket, n_bytes)
    if c.levels & CHARGE_SERVER:
        bucket_refund(&clients_at(t, CLIENT_SERVER).bucket, n_bytes)
