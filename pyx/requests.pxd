"""Requests: from input to an answer that is under way.

``conn_advance`` is the one place that decides what a connection does next: read the
rest of a head, wait for a file, answer, or go on with the transfer.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from c_llhttp cimport HTTP_GET, HTTP_HEAD, HTTP_OPTIONS
from closing cimport conn_close, conn_forget_input, conn_receive, conn_release
from conn cimport (
    CONN_CLOSING, CONN_OPEN, DEADLINE_HEADER, DEADLINE_IDLE, Conn, conn_busy,
    conn_pending,
)
from delegating cimport delegating_begin
from engine cimport (
    Engine, conn_set_deadline, engine_drop_request, engine_new_request,
)
from filecache cimport (
    FILE_DIRECTORY, FILE_FAILED, FILE_FILLING, FILE_REGULAR, File, file_unref,
)
from http1 cimport (
    HTTP1_COMPLETE, HTTP1_HEAD, HTTP1_MORE, Http1Result, http1_expect, http1_feed,
    http1_method_is_known,
)
from identify cimport conn_client, conn_refresh, identify
from limits cimport TARGET_BYTES_MAX
from negotiate cimport (
    negotiate, negotiate_again, negotiation_failed, resolve_request,
)
from request cimport Request
from respond cimport respond_file, respond_redirect, respond_status
from target cimport Target, target_decode
from transfer cimport TRANSFER_READY
from transmit cimport transmit_more
from uploading cimport uploading_go

from libc.errno cimport EINVAL, ENAMETOOLONG, ENOENT
from libc.string cimport memcpy


cdef enum:
    INDEX_NAME_BYTES = 10   # "index.html"


cdef inline uint16_t decode_path(Engine* e, Request* r) noexcept nogil:
    """0 with ``r.path`` set, or the status that refuses the target."""
    cdef Target t
    cdef int rc = target_decode(
        r.target, r.target_n, r.path, TARGET_BYTES_MAX, e.limits.show_dotfiles, &t)
    if rc == 0:
        r.path_n = <uint32_t>t.n
        r.trailing_slash = t.trailing_slash
        return 0
    if rc == -ENOENT:
        return 404
    return 414 if rc == -ENAMETOOLONG else 400


cdef inline bint append_index(Request* r) noexcept nogil:
    """``path`` becomes that of the directory's index.html; false if it is too long."""
    cdef uint32_t slash = 1 if r.path_n else 0
    if r.path_n + slash + INDEX_NAME_BYTES >= TARGET_BYTES_MAX:
        return False
    if slash:
        r.path[r.path_n] = 47
    memcpy(&r.path[r.path_n + slash], b"index.html", INDEX_NAME_BYTES)
    r.path_n += slash + INDEX_NAME_BYTES
    r.path[r.path_n] = 0
    r.index_tried = True
    return True


cdef inline void find_file(Engine* e, Conn* c) noexcept nogil:
    """Set ``c.file``; if it is being opened, wait for it."""
    cdef File* f = resolve_request(e, c.request)
    c.file = f
    if f != NULL and f.state == FILE_FILLING:
        c.waiter_next = <Conn*>f.waiters
        f.waiters = c
        # Not idle any more; this deadline is put off for as long as the disk takes.
        conn_set_deadline(e, c, DEADLINE_HEADER, e.limits.header_timeout_ns)


cdef inline bint wants_index(const Conn* c) noexcept nogil:
    cdef const Request* r = c.request
    return (
        c.file.kind == FILE_DIRECTORY and not r.index_tried
        and (r.trailing_slash or r.path_n == 0))


cdef inline void answer_with_file(Engine* e, Conn* c) noexcept nogil:
    """``c.file`` is ready or failed."""
    cdef File* f = c.file
    cdef Request* r = c.request
    cdef uint32_t client = identify(e, c)
    c.file = NULL
    if f == NULL:
        respond_status(e, c, 503, client, False)
        return
    if f.state == FILE_FAILED:
        respond_status(e, c, f.status, client, False)
    elif f.kind == FILE_REGULAR:
        if r.trailing_slash and not r.index_tried:
            respond_status(e, c, 404, client, False)
        else:
            respond_file(e, c, f, client)
    elif r.index_tried:
        respond_status(e, c, 404, client, False)
    else:
        respond_redirect(e, c, client)
    file_unref(f)


cdef inline void drop_file(Conn* c) noexcept nogil:
    cdef File* f = c.file
    c.file = NULL
    file_unref(f)


cdef inline void serve_path(Engine* e, Conn* c) noexcept nogil:
    """Find the file of the request's path, its index.html for a directory, of that the
    sidecar that the client would rather have, and answer."""
    cdef Request* r = c.request
    while True:
        if c.file == NULL:
            find_file(e, c)
        if c.file == NULL:
            break
        if c.file.state == FILE_FILLING:
            return
        if negotiation_failed(r, c.file):
            negotiate_again(r)
        elif c.file.state == FILE_FAILED:
            break
        elif wants_index(c):
            if not append_index(r):
                drop_file(c)
                respond_status(e, c, 414, identify(e, c), False)
                return
        elif not negotiate(e, c.file, r):
            break
        drop_file(c)
    answer_with_file(e, c)


cdef inline uint16_t judge_options(Engine* e, Request* r) noexcept nogil:
    """204 for "*" and every path that could be one; whether it exists stays unsaid."""
    cdef uint16_t status
    if r.target_n == 1 and r.target[0] == c'*':
        return 204
    status = decode_path(e, r)
    return status if status in (400, 414) else 204


cdef inline void serve_request(Engine* e, Conn* c) noexcept nogil:
    """The message is complete and well-formed."""
    cdef Request* r = c.request
    cdef uint16_t status
    if c.refusing:
        respond_status(e, c, 503, conn_client(e, c), True)
    elif not http1_method_is_known(r.method):
        respond_status(e, c, 501, identify(e, c), False)
    elif r.method == HTTP_OPTIONS:
        respond_status(e, c, judge_options(e, r), identify(e, c), False)
    elif r.method != HTTP_GET and r.method != HTTP_HEAD:
        respond_status(e, c, 405, identify(e, c), False)
    else:
        status = decode_path(e, r)
        if status:
            respond_status(e, c, status, identify(e, c), False)
        else:
            serve_path(e, c)


cdef inline size_t conn_feed(
    Engine* e, Conn* c, const char* data, size_t n
) noexcept nogil:
    """Parse up to the end of one request and begin to answer it; returns the bytes
    used."""
    cdef size_t used
    cdef Http1Result result
    if c.request == NULL:
        conn_refresh(e, c)
        c.request = engine_new_request(e)
        c.request.proxied = c.proxied
        http1_expect(&c.http, c.request)
    result = http1_feed(&c.http, data, n, &used)
    if result == HTTP1_COMPLETE:
        c.request.started_ns = e.now_ns
        serve_request(e, c)
    elif result == HTTP1_HEAD:
        delegating_begin(e, c)
    elif result != HTTP1_MORE:
        e.counters.parse_errors += 1
        respond_status(e, c, c.request.status, conn_client(e, c), True)
    elif not c.request.begun:
        engine_drop_request(e, c)  # blank lines between requests
    elif c.deadline == DEADLINE_IDLE:
        conn_set_deadline(e, c, DEADLINE_HEADER, e.limits.header_timeout_ns)
    return used


cdef inline void conn_feed_pending(Engine* e, Conn* c) noexcept nogil:
    """Serve what had arrived while an earlier request was being answered."""
    cdef size_t used
    while c.state == CONN_OPEN and not conn_busy(c) and conn_pending(c):
        used = conn_feed(e, c, c.pending + c.pending_at, conn_pending(c))
        if c.pending != NULL:  # a connection that closed has dropped it
            c.pending_at += <uint32_t>used
    if c.state == CONN_OPEN and c.pending != NULL and conn_pending(c) == 0:
        conn_forget_input(e, c)
    if c.state == CONN_OPEN and not conn_busy(c):
        if c.peer_closed:
            conn_close(e, c)
        else:
            conn_receive(e, c)


cdef inline void conn_advance(Engine* e, Conn* c) noexcept nogil:
    """The next step of a connection that was put on the runnable list."""
    if c.state == CONN_CLOSING:
        conn_release(e, c)
    elif c.transfer != NULL:
        if c.transfer.state == TRANSFER_READY:
            transmit_more(e, c)
    elif c.intake != NULL:
        uploading_go(e, c)
    elif c.file != NULL:
        if c.file.state != FILE_FILLING:
            serve_path(e, c)
    elif c.state == CONN_OPEN:
        conn_feed_pending(e, c)
