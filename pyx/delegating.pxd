"""Delegating: requests that go to Python, its orders, and its answers.

Both ways a letter names the intake (see there), and whoever gets it owns it.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t

from c_llhttp cimport HTTP_HEAD, llhttp_method_name
from closing cimport conn_forget_input, conn_lose_intake, conn_pause_receive
from conn cimport CONN_OPEN, DEADLINE_BODY, Conn
from engine cimport ENGINE_DRAINING, Engine, conn_set_deadline
from heads cimport head_begin, head_connection, head_end, head_length
from http1 cimport http1_has_body, http1_init
from identify cimport conn_client, identify
from intake cimport (
    ASK_NEW, INTAKE_ASKED, ORDER_ANSWER, ORDER_DROP, ORDER_RECEIVE, ORDER_STOP, Intake,
    intake_hand_over, intake_keep_text, intakes_at, intakes_live, intakes_release,
    intakes_take,
)
from limits cimport COPY_BYTES, MESSAGE_TEXT_BYTES
from intakewait cimport intakewait_begin
from mailbox cimport Letter, mailbox_drain_fd, mailbox_take
from request cimport FIELD_EXPECT, Request, request_drop_lines
from respond cimport respond_status, response_closes, response_new, response_start
from slab cimport slab_live
from transfer cimport Transfer, transfer_add
from uploading cimport (
    uploading_drop, uploading_leave, uploading_order, uploading_stop,
)
from writer cimport (
    Writer, writer_bytes, writer_count, writer_init, writer_string,
)


cdef inline bint delegating_keep_head(
    Engine* e, Intake* i, const Request* r
) noexcept nogil:
    """``METHOD target``, then the fields, a line each."""
    cdef Writer w
    writer_init(&w, e.copy_buffer, COPY_BYTES)
    writer_string(&w, llhttp_method_name(r.method))
    writer_string(&w, b" ")
    writer_bytes(&w, r.target, r.target_n)
    writer_string(&w, b"\r\n")
    return intake_keep_text(i, e.copy_buffer, writer_count(&w), r.lines, r.lines_n)


cdef inline Intake* delegating_new(Engine* e, Conn* c) noexcept nogil:
    """NULL when there are too many, or the server ends."""
    cdef Request* r = c.request
    cdef Intake* i = NULL
    if not c.refusing and e.state != ENGINE_DRAINING:
        i = intakes_take(&e.intakes)
    if i != NULL and not delegating_keep_head(e, i, r):
        intakes_release(&e.intakes, i)
        i = NULL
    if i == NULL:
        return NULL
    i.conn = c
    intakewait_begin(i)
    i.chunked = r.chunked
    i.http_1_0 = r.http_1_0
    i.expects = (
        not r.http_1_0 and r.fields[FIELD_EXPECT].at != NULL and http1_has_body(r))
    i.content_length = r.content_length
    i.body_left = -1 if r.chunked else max(r.content_length, <int64_t>0)
    return i


cdef inline void delegating_begin(Engine* e, Conn* c) noexcept nogil:
    """The head of a delegated request is complete: it is Python's turn."""
    cdef Intake* i = delegating_new(e, c)
    c.request.started_ns = e.now_ns
    if i == NULL:
        respond_status(e, c, 503, conn_client(e, c), True)
        return
    i.client = identify(e, c)
    request_drop_lines(c.request)
    c.intake = i
    conn_set_deadline(e, c, DEADLINE_BODY, e.limits.body_timeout_ns)
    conn_pause_receive(e, c)
    intake_hand_over(&e.intakes, i, ASK_NEW)


cdef inline void delegating_write_answer(
    Engine* e, const Conn* c, Transfer* t, const Intake* i
) noexcept nogil:
    cdef Writer w
    cdef int64_t body_n = <int64_t>i.text_n - i.fields_n
    writer_init(&w, t.message.text, MESSAGE_TEXT_BYTES)
    head_begin(&w, <int>i.status, e.date)
    writer_bytes(&w, i.text, i.fields_n)
    if i.status != 204:
        head_length(&w, body_n)
    head_connection(&w, t.close_after, i.http_1_0)
    head_end(&w)
    if c.request.method != HTTP_HEAD:
        writer_bytes(&w, i.text + i.fields_n, <size_t>body_n)
    t.status = <uint16_t>i.status
    transfer_add(t, t.message.text, 0, <int64_t>writer_count(&w))


cdef inline void delegating_answer(Engine* e, Intake* i) noexcept nogil:
    """A body that was not read to its end ends the connection."""
    cdef Conn* c = <Conn*>i.conn
    cdef Transfer* t
    if c == NULL or c.state != CONN_OPEN:
        uploading_drop(e, i)
        return
    if i.body_left:
        conn_forget_input(e, c)
    t = response_new(e, c, i.client, i.body_left != 0 or response_closes(e, c))
    delegating_write_answer(e, c, t, i)
    http1_init(&c.http, &e.http_settings)  # of a body it has mostly seen nothing
    uploading_leave(e, c)
    intakes_release(&e.intakes, i)
    response_start(e, c, t)


cdef inline void delegating_abandon(Engine* e) noexcept nogil:
    """The ring has failed, and with it all that was in flight: to Python, every peer
    has left. A worker of the kernel may still use a buffer, so that it stays."""
    cdef Intake* i
    cdef uint32_t index
    for index in range(e.intakes.slab.fresh):
        i = intakes_at(&e.intakes, index)
        if i.conn == NULL or not slab_live(&e.intakes.slab, index, i.generation):
            continue
        if i.state != INTAKE_ASKED:
            i.buffer = i.own = NULL
            i.block = False
        conn_lose_intake(e, <Conn*>i.conn)


cdef inline void delegating_letters(Engine* e) noexcept nogil:
    """Python's orders."""
    cdef Letter letter
    cdef Intake* i
    if e.intakes.slab.capacity == 0:
        return
    mailbox_drain_fd(&e.intakes.orders)
    while mailbox_take(&e.intakes.orders, &letter):
        i = intakes_live(&e.intakes, letter.a, <uint32_t>letter.b)
        if i == NULL:
            continue
        if letter.kind == ORDER_RECEIVE:
            uploading_order(e, i)
        elif letter.kind == ORDER_ANSWER:
            delegating_answer(e, i)
        elif letter.kind == ORDER_DROP:
            uploading_drop(e, i)
        elif letter.kind == ORDER_STOP:
            uploading_stop(e, i)
