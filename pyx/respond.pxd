"""Respond: turns a decision about a request into a transfer and starts it."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport strlen

from c_assert cimport ENGINE_ASSERT
from c_atomic cimport atomic_add_i64, atomic_load_u32
from c_file cimport RWF_NOWAIT, preadv2
from c_llhttp cimport HTTP_HEAD
from c_socket cimport iovec
from clients cimport LIMITER_NONE, Client, client_use, clients_at
from conn cimport DEADLINE_WRITE, Conn
from counters cimport counters_status
from engine cimport (
    ENGINE_DRAINING, Engine, conn_set_deadline, engine_drop_request,
    engine_new_transfer, engine_run_fresh,
)
from feed cimport feed_retry_s
from filecache cimport File, file_ref
from heads cimport (
    ALLOWED_METHODS, head_begin, head_connection, head_end, head_length,
    head_retry_after, status_reason,
)
from holders cimport holders_transfers
from image cimport image_dated
from keymap cimport hash_bytes
from limiter cimport limiter_explain
from limits cimport BRIEF_BYTES, MESSAGE_TEXT_BYTES
from message cimport Span
from plan cimport Plan, file_facts, plan_file
from request cimport (
    FIELD_IF_MATCH, FIELD_IF_MODIFIED_SINCE, FIELD_IF_NONE_MATCH,
    FIELD_IF_UNMODIFIED_SINCE, FIELD_RANGE, Request,
)
from sensing cimport sensing_start
from strategy cimport COPIED_RANGE_MAX_BYTES
from target cimport target_encode_path
from transfer cimport Transfer, transfer_add
from transmit cimport transmit_more
from writer cimport (
    Writer, writer_bytes, writer_count, writer_init, writer_string, writer_u64,
)


cdef enum:
    RETRY_AFTER_S = 1


cdef inline bint response_closes(Engine* e, const Conn* c) noexcept nogil:
    return not c.request.keep_alive or c.refusing or e.state == ENGINE_DRAINING


cdef inline Transfer* response_new(
    Engine* e, Conn* c, uint32_t client, bint close
) noexcept nogil:
    """``client`` is held for it."""
    cdef Transfer* t = engine_new_transfer(e)
    cdef Client* row = clients_at(e.clients, client)
    t.conn = c
    t.client = client
    t.close_after = close
    t.started_ns = c.request.started_ns if c.request.started_ns else e.now_ns
    client_use(row, e.now_ns)
    if holders_transfers(&row.holders) == 1:
        row.waits_for = LIMITER_NONE
    sensing_start(e, c, t)
    atomic_add_i64(&row.requests_total, 1)
    return t


cdef inline void response_start(Engine* e, Conn* c, Transfer* t) noexcept nogil:
    """The request is answered: it is not needed any more."""
    counters_status(&e.counters, t.status)
    e.counters.requests += 1
    if c.requests:
        e.counters.requests_reused += 1
    c.requests += 1
    engine_drop_request(e, c)
    c.transfer = t
    if t.total_bytes <= BRIEF_BYTES:
        e.brief_ns = e.now_ns
    conn_set_deadline(e, c, DEADLINE_WRITE, e.limits.write_timeout_ns)
    if t.close_after or (t.image == NULL and t.file != NULL and t.spans_n > 1):
        # It may be complete at once, and what called this has more to do with ``c``.
        engine_run_fresh(e, c)
    else:
        transmit_more(e, c)


cdef inline int64_t respond_retry_s(
    const Engine* e, uint32_t client
) noexcept nogil:
    """See ``feed_retry_s``; mostly no breaker at all is open."""
    if not atomic_load_u32(&e.clients.alarmed):
        return 0
    return feed_retry_s(
        &e.clients.feeds[client], &e.clients.feed_rules.breaker, e.now_ns)


cdef inline bint request_is_plain(
    const Engine* e, const Request* r, uint32_t client, bint close
) noexcept nogil:
    """Nothing in it, or in its client, asks for more than the prepared 200."""
    return (
        not close and not r.http_1_0 and not e.clients.explains
        and respond_retry_s(e, client) == 0
        and r.fields[FIELD_RANGE].at == NULL
        and r.fields[FIELD_IF_NONE_MATCH].at == NULL
        and r.fields[FIELD_IF_MODIFIED_SINCE].at == NULL
        and r.fields[FIELD_IF_MATCH].at == NULL
        and r.fields[FIELD_IF_UNMODIFIED_SINCE].at == NULL)


cdef inline void respond_image(
    Engine* e, Transfer* t, File* f, bint head
) noexcept nogil:
    f.image = image_dated(f.image, e.date_s, e.date)
    f.image.refs += 1
    t.image = f.image
    t.status = 200
    transfer_add(
        t, f.image.bytes, 0,
        <int64_t>(f.image.head_n + (0 if head else f.image.body_n)))


cdef inline void respond_copy_short(Transfer* t, const Writer* text) noexcept nogil:
    """A short range of a large file is read behind the head, if that needs no disk: one
    SEND then has both. Otherwise the transfer stays as it is."""
    cdef Span* s = &t.message.spans[1]
    cdef iovec v
    if t.spans_n != 2 or s.at != NULL or s.n > COPIED_RANGE_MAX_BYTES:
        return
    if s.n > text.end - text.at:
        return
    v.iov_base = text.at
    v.iov_len = <size_t>s.n
    if preadv2(t.file.fd, &v, 1, s.offset, RWF_NOWAIT) != s.n:
        return
    t.message.spans[0].n += s.n
    t.spans_n = 1


cdef inline void respond_planned(
    Engine* e, Conn* c, Transfer* t, File* f
) noexcept nogil:
    cdef Plan p
    p.transfer = t
    p.request = c.request
    p.file = f
    p.facts = file_facts(f)
    p.date = e.date
    p.now_s = e.date_s
    p.close = t.close_after
    p.explains = e.clients.explains
    if p.explains:
        p.limit = limiter_explain(e.clients, t.client)
    p.retry_s = respond_retry_s(e, t.client)
    p.boundary = hash_bytes(&e.now_ns, sizeof(e.now_ns), e.files.seed ^ c.slot)
    plan_file(&p)
    ENGINE_ASSERT(not p.text.full)
    t.file = file_ref(f)
    t.strategy = f.strategy
    if f.image == NULL:
        respond_copy_short(t, &p.text)
    else:
        f.image.refs += 1
        t.image = f.image


cdef inline void respond_file(
    Engine* e, Conn* c, File* f, uint32_t client
) noexcept nogil:
    cdef Request* r = c.request
    cdef bint close = response_closes(e, c)
    cdef Transfer* t = response_new(e, c, client, close)
    if f.image != NULL and request_is_plain(e, r, client, close):
        respond_image(e, t, f, r.method == HTTP_HEAD)
    else:
        respond_planned(e, c, t, f)
    if f.encoding:
        e.counters.encoded[f.encoding] += 1
    response_start(e, c, t)


cdef inline void respond_fields(Writer* w, uint16_t status) noexcept nogil:
    if status == 405 or status == 204:
        writer_string(w, b"Allow: ")
        writer_string(w, ALLOWED_METHODS)
        writer_string(w, b"\r\n")
    elif status == 503:
        head_retry_after(w, RETRY_AFTER_S)


cdef inline void respond_location(Writer* w, const Request* r) noexcept nogil:
    """The same path with a slash, and the query as it came."""
    cdef size_t i
    cdef int n
    writer_string(w, b"Location: /")
    n = target_encode_path(r.path, r.path_n, w.at, <size_t>(w.end - w.at))
    if n < 0:
        w.full = True
        return
    w.at += n
    writer_string(w, b"/")
    for i in range(r.target_n):
        if r.target[i] == 63:  # "?"
            writer_bytes(w, &r.target[i], r.target_n - i)
            break
    writer_string(w, b"\r\n")


cdef inline void respond_text(
    Engine* e, Conn* c, Transfer* t, uint16_t status, bint located
) noexcept nogil:
    """A head, and for other methods than HEAD a line that repeats the status."""
    cdef Writer w
    cdef bint bodiless = status == 204
    cdef size_t n = 0 if bodiless else strlen(status_reason(status)) + 5
    writer_init(&w, t.message.text, MESSAGE_TEXT_BYTES)
    head_begin(&w, status, e.date)
    respond_fields(&w, status)
    if located:
        respond_location(&w, c.request)
    if not bodiless:
        writer_string(&w, b"Content-Type: text/plain; charset=utf-8\r\n")
        head_length(&w, <int64_t>n)
    head_connection(&w, t.close_after, c.request.http_1_0)
    head_end(&w)
    if not bodiless and c.request.method != HTTP_HEAD:
        writer_u64(&w, status)
        writer_string(&w, b" ")
        writer_string(&w, status_reason(status))
        writer_string(&w, b"\n")
    t.status = status
    if w.full:  # a path that does not fit in a Location
        t.status = 414
        writer_init(&w, t.message.text, MESSAGE_TEXT_BYTES)
        head_begin(&w, 414, e.date)
        head_length(&w, 0)
        head_connection(&w, t.close_after, c.request.http_1_0)
        head_end(&w)
    transfer_add(t, t.message.text, 0, <int64_t>writer_count(&w))


cdef inline void respond_status(
    Engine* e, Conn* c, uint16_t status, uint32_t client, bint close
) noexcept nogil:
    """``close``: framing is lost, or the peer must not go on."""
    cdef Transfer* t = response_new(
        e, c, client, close or response_closes(e, c))
    respond_text(e, c, t, status, False)
    response_start(e, c, t)


cdef inline void respond_redirect(Engine* e, Conn* c, uint32_t client) noexcept nogil:
    cdef Transfer* t = response_new(e, c, client, response_closes(e, c))
    respond_text(e, c, t, 301, True)
    response_start(e, c, t)
