"""Moved: what a client was sent, counted on every level of the tree.

For those who take tokens: an engine's transfers (``grant``) and Python (``paying``).
"""

from libc.stdint cimport int64_t, uint32_t

from activity cimport activity_mark
from c_atomic cimport atomic_add_i64, atomic_store_i64
from clients cimport CLIENT_SERVER, Client, Clients, clients_at
from window cimport window_add


cdef inline void moved_count(
    Clients* t, uint32_t row, int64_t n_bytes, int64_t now_ns
) noexcept nogil:
    """``n_bytes`` that were charged were sent."""
    cdef Client* own = clients_at(t, row)
    cdef Client* group
    atomic_add_i64(&own.bytes_total, n_bytes)
    atomic_store_i64(&own.last_active_ns, now_ns)
    window_add(&own.window, n_bytes, now_ns)
    activity_mark(&t.active, row)
    if own.parent != CLIENT_SERVER:
        group = clients_at(t, own.parent)
        atomic_add_i64(&group.bytes_total, n_bytes)
        window_add(&group.window, n_bytes, now_ns)
