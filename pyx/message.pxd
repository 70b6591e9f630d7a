"""Message: what a response consists of, as a list of spans (RFC 9110 section 6).

Written once by the planner, then read piece by piece while its transfer goes on; a
decision of the gate looks at the ``Transfer`` only. An ordinary response, with one head
and one body, uses the begin only: half a page.
"""

from libc.stdint cimport int64_t, uint32_t

from c_socket cimport iovec, msghdr
from limits cimport GATHER_MAX, MESSAGE_TEXT_BYTES, SPANS_MAX


cdef struct Span:
    const char* at     # bytes in memory, or NULL: in the file
    int64_t offset     # in the file
    int64_t n

cdef struct Message:
    Span spans[SPANS_MAX]
    char text[MESSAGE_TEXT_BYTES]   # heads of the response and of its parts
    iovec gather[GATHER_MAX]        # of one SENDMSG
    msghdr gathered


cdef inline msghdr* message_gather(
    Message* m, uint32_t first, uint32_t end, int64_t done, int64_t most
) noexcept nogil:
    """Up to ``most`` bytes of the memory spans from ``first`` on, of which ``done``
    were sent, and before ``end``; for one SENDMSG at a time."""
    cdef uint32_t i = first
    cdef int64_t n
    cdef size_t used = 0
    while i < end and m.spans[i].at != NULL and most > 0 and used < GATHER_MAX:
        n = min(m.spans[i].n - done, most)
        m.gather[used].iov_base = <void*>(m.spans[i].at + done)
        m.gather[used].iov_len = <size_t>n
        used += 1
        most -= n
        done = 0
        i += 1
    m.gathered.msg_name = NULL
    m.gathered.msg_namelen = 0
    m.gathered.msg_iov = m.gather
    m.gathered.msg_iovlen = used
    m.gathered.msg_control = NULL
    m.gathered.msg_controllen = 0
    m.gathered.msg_flags = 0
    return &m.gathered
