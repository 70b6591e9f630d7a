"""Http1: HTTP/1.1 framing of one connection, by llhttp in its strict mode.

Turns protocol bytes into a ``Request`` and stops after each message, so that pipelined
requests are answered in order. Knows nothing of sockets. RFC 9112.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from authority cimport authority_is_valid
from c_assert cimport ENGINE_ASSERT
from c_llhttp cimport *
from delegate cimport delegate_wants
from limits cimport BODY_FRAMING_FACTOR, HEAD_SLACK_BYTES, Limits
from request cimport (
    FIELD_CONNECTION, FIELD_EXPECT, FIELD_HOST, FIELD_TRANSFER_ENCODING, Request,
    request_add_name, request_add_target, request_add_value, request_byte_before,
    request_delegate, request_end_piece, request_end_value, request_position,
    request_refuse, request_repeats, request_reset,
)
from text cimport Text, list_has_token, text_is_ci


cdef enum Http1Result:
    HTTP1_MORE       # everything was used, the message is not complete
    HTTP1_COMPLETE   # a whole message; the rest of the input is untouched
    HTTP1_HEAD       # the head of a delegated one; its body is untouched
    HTTP1_REFUSED    # request.status says why; framing is lost

cdef struct Http1:
    llhttp_t parser


cdef inline Request* http1_request(llhttp_t* p) noexcept nogil:
    return <Request*>p.data


cdef inline int http1_on_begin(llhttp_t* p) noexcept nogil:
    http1_request(p).begun = True
    return 0


cdef inline int http1_on_method(llhttp_t* p) noexcept nogil:
    # From here on a refusal may be an answer to HEAD, which has no body.
    http1_request(p).method = p.method
    return 0


cdef inline int http1_on_url(llhttp_t* p, const char* s, size_t n) noexcept nogil:
    return 0 if request_add_target(http1_request(p), s, n) else HPE_USER


cdef inline int http1_on_version(llhttp_t* p, const char* s, size_t n) noexcept nogil:
    """llhttp knows more protocols; before the slash, HTTP alone ends in TP."""
    cdef Request* r = http1_request(p)
    if not r.protocol_seen and request_byte_before(r, s, 3) != c'T':
        request_refuse(r, 400)
        return HPE_USER
    if not r.protocol_seen and delegate_wants(
            &r.limits.delegates, r.method, r.target, r.target_n):
        if not request_delegate(r):
            return HPE_USER
    r.protocol_seen = True
    r.value_end = request_position(r, s + n)
    return 0


cdef inline int http1_on_name(llhttp_t* p, const char* s, size_t n) noexcept nogil:
    return 0 if request_add_name(http1_request(p), s, n) else HPE_USER


cdef inline int http1_on_value(llhttp_t* p, const char* s, size_t n) noexcept nogil:
    return 0 if request_add_value(http1_request(p), s, n) else HPE_USER


cdef inline int http1_on_value_end(llhttp_t* p) noexcept nogil:
    return 0 if request_end_value(http1_request(p)) else HPE_USER


cdef inline bint http1_method_is_known(uint8_t method) noexcept nogil:
    """Methods of RFC 9110 and PATCH: a resource may allow them, so 405 and not 501."""
    return method in (
        HTTP_DELETE, HTTP_GET, HTTP_HEAD, HTTP_OPTIONS, HTTP_PATCH, HTTP_POST, HTTP_PUT,
        HTTP_TRACE)


cdef inline uint16_t http1_judge_expect(const Request* r) noexcept nogil:
    """The final status in place of 100 Continue: no method here wants a body. HTTP/1.0
    has no expectations (RFC 9110 section 10.1.1)."""
    if r.http_1_0 or r.fields[FIELD_EXPECT].at == NULL:
        return 0
    if not text_is_ci(r.fields[FIELD_EXPECT], b"100-continue", 12):
        return 417
    if not http1_has_body(r) or r.delegated:
        return 0
    if r.method in (HTTP_GET, HTTP_HEAD, HTTP_OPTIONS):
        return 417
    return 405 if http1_method_is_known(r.method) else 501


cdef inline bint http1_has_body(const Request* r) noexcept nogil:
    return r.chunked or r.content_length > 0


cdef inline uint16_t http1_judge_coding(const Request* r) noexcept nogil:
    """0 when the body is framed by ``chunked`` alone, or by its length.

    llhttp is content when the last coding is chunked, and takes an empty field for
    none. 400 where a peer may see another end of the message (RFC 9112 sections 6.1 and
    6.3), 501 for codings that nobody decodes here.
    """
    cdef Text coding = r.fields[FIELD_TRANSFER_ENCODING]
    cdef bint twice = request_repeats(r, FIELD_TRANSFER_ENCODING)
    if coding.at == NULL:
        return 0
    if r.http_1_0 or twice or r.content_length >= 0 or not r.chunked:
        return 400
    return 0 if text_is_ci(coding, b"chunked", 7) else 501


cdef inline bint http1_keeps_alive(const Request* r) noexcept nogil:
    """RFC 9112 section 9.3. llhttp would take ``close`` before a tab for no token."""
    cdef Text options = r.fields[FIELD_CONNECTION]
    if options.at == NULL:
        return not r.http_1_0
    if list_has_token(options, b"close", 5):
        return False
    return not r.http_1_0 or list_has_token(options, b"keep-alive", 10)


cdef inline bint http1_host_is_valid(const Request* r) noexcept nogil:
    """RFC 9112 section 3.2: one, unless HTTP/1.0, and well-formed. It may be empty."""
    if request_repeats(r, FIELD_HOST):
        return False
    if r.fields[FIELD_HOST].at == NULL:
        return r.http_1_0
    return authority_is_valid(r.fields[FIELD_HOST])


cdef inline uint64_t http1_head_bound(const Request* r) noexcept nogil:
    """Of all bytes of a head, those that are skipped included."""
    return <uint64_t>r.limits.max_request_line_bytes + (
        r.limits.max_header_bytes + HEAD_SLACK_BYTES)


cdef inline uint64_t http1_body_bound(const Request* r) noexcept nogil:
    """Of all bytes after the head: chunks with their framing, and trailers."""
    return <uint64_t>r.limits.max_body_bytes * BODY_FRAMING_FACTOR + (
        r.limits.max_header_bytes + HEAD_SLACK_BYTES)


cdef inline uint64_t http1_framing_bound(const Request* r) noexcept nogil:
    """Of all bytes after the head, for so much of a body whose size is not bounded."""
    return <uint64_t>r.body_bytes * BODY_FRAMING_FACTOR + (
        r.limits.max_header_bytes + HEAD_SLACK_BYTES)


cdef inline uint16_t http1_judge_bytes(const Request* r, uint64_t n) noexcept nogil:
    """0 when the first ``n`` bytes of the message are not too many. White space and
    chunk extensions can go on without anything that the other limits count."""
    if r.delegated and r.head_done:
        return 413 if n > r.head_end + http1_framing_bound(r) else 0
    if r.head_done:
        return 413 if n > r.head_end + http1_body_bound(r) else 0
    return 431 if n > http1_head_bound(r) + 4 else 0  # CRLF, CRLF end a head


cdef inline uint16_t http1_judge_head(llhttp_t* p, Request* r) noexcept nogil:
    """0, or the status that ends the connection: what may come next is unknown."""
    cdef uint16_t status
    if r.value_end > http1_head_bound(r):
        return 431
    if p.http_major != 1:
        return 505
    if not http1_host_is_valid(r):
        return 400
    if p.method == HTTP_CONNECT:
        return 501
    status = http1_judge_coding(r)
    if status:
        return status
    if r.content_length > r.limits.max_body_bytes and not r.delegated:
        return 413
    return http1_judge_expect(r)


cdef inline int http1_on_head(llhttp_t* p) noexcept nogil:
    cdef Request* r = http1_request(p)
    cdef uint16_t status
    r.http_1_0 = p.http_major == 1 and p.http_minor == 0
    r.chunked = (p.flags & F_CHUNKED) != 0
    if p.flags & F_CONTENT_LENGTH:
        r.content_length = <int64_t>p.content_length
        if r.content_length < 0:
            r.content_length = (<int64_t>1) << 62
    # Upgrades are not offered, so the message is an ordinary one (RFC 9110 7.8).
    p.upgrade = 0
    r.keep_alive = http1_keeps_alive(r)
    r.head_done = True
    r.head_end = r.value_end
    status = http1_judge_head(p, r)
    if status:
        request_refuse(r, status)
        return -1
    return HPE_PAUSED if r.delegated else 0


cdef inline int http1_sink(Request* r, const char* s, size_t n) noexcept nogil:
    """Whoever feeds sees to it that there is room."""
    ENGINE_ASSERT(r.sink != NULL and n <= r.sink_n)
    memcpy(r.sink, s, n)
    r.sink += n
    r.sink_n -= <uint32_t>n
    return 0


cdef inline int http1_on_body(llhttp_t* p, const char* s, size_t n) noexcept nogil:
    cdef Request* r = http1_request(p)
    r.body_bytes += <int64_t>n
    if r.delegated:
        return http1_sink(r, s, n)
    if r.body_bytes > r.limits.max_body_bytes:
        request_refuse(r, 413)
        return HPE_USER
    return 0


cdef inline int http1_on_complete(llhttp_t* p) noexcept nogil:
    http1_request(p).complete = True
    # llhttp has its own view of Connection, also in trailers, and refuses what comes
    # after the message that ends the connection.
    if http1_request(p).keep_alive:
        p.flags &= ~F_CONNECTION_CLOSE
        p.flags |= F_CONNECTION_KEEP_ALIVE
    return HPE_PAUSED


cdef inline void http1_settings(llhttp_settings_t* s) noexcept nogil:
    llhttp_settings_init(s)
    s.on_message_begin = http1_on_begin
    s.on_method_complete = http1_on_method
    s.on_url = http1_on_url
    s.on_version = http1_on_version
    s.on_header_field = http1_on_name
    s.on_header_value = http1_on_value
    s.on_header_value_complete = http1_on_value_end
    s.on_headers_complete = http1_on_head
    s.on_body = http1_on_body
    s.on_message_complete = http1_on_complete


cdef inline void http1_init(Http1* h, const llhttp_settings_t* s) noexcept nogil:
    """``s`` must outlive ``h``."""
    llhttp_init(&h.parser, HTTP_REQUEST, s)
    # Any digits: a version that is not 1.x is refused when the head is complete, and a
    # later 1.x is understood as 1.1 (RFC 9110 section 2.5).
    h.parser.lenient_flags = LENIENT_VERSION


cdef inline void http1_expect(Http1* h, Request* r) noexcept nogil:
    """The next message is parsed into ``r`` (which has been reset)."""
    h.parser.data = r


cdef inline bint http1_token_char(char c) noexcept nogil:
    return 65 <= c <= 90 or 97 <= c <= 122 or 48 <= c <= 57 or c in (
        33, 35, 36, 37, 38, 39, 42, 43, 45, 46, 94, 95, 96, 124, 126)


cdef inline Http1Result http1_unknown_method(
    Request* r, const char* s, size_t n
) noexcept nogil:
    """llhttp gives up at the first byte that leads to no method. Read on to the end of
    the token, in however many pieces: 501 if it is well-formed, else 400 (RFC 9110
    section 9.1)."""
    cdef const char* end = s + n
    r.method_unknown = True
    r.method = 0  # HEADX is not HEAD
    while s < end and http1_token_char(s[0]):
        s += 1
    if s < end:
        if s[0] == c' ' and http1_token_char(request_byte_before(r, s, 1)):
            request_refuse(r, 501)
        else:
            request_refuse(r, 400)
        return HTTP1_REFUSED
    request_end_piece(r, <size_t>(end - r.feed))
    if r.fed > http1_head_bound(r):
        request_refuse(r, 501)
        return HTTP1_REFUSED
    return HTTP1_MORE


cdef inline Http1Result http1_feed(
    Http1* h, const char* data, size_t n, size_t* used
) noexcept nogil:
    """Parse up to the end of one message; ``used`` bytes of ``data`` were its own."""
    cdef Request* r = http1_request(&h.parser)
    cdef const char* at
    cdef uint16_t status
    cdef int error
    r.feed = data
    used[0] = n
    if r.method_unknown:
        return http1_unknown_method(r, data, n)
    error = llhttp_execute(&h.parser, data, n)
    if error == HPE_PAUSED:
        used[0] = <size_t>(llhttp_get_error_pos(&h.parser) - data)
        llhttp_resume(&h.parser)
    elif error == HPE_INVALID_METHOD:
        at = llhttp_get_error_pos(&h.parser)
        return http1_unknown_method(r, at, n - <size_t>(at - data))
    elif error != HPE_OK:
        request_refuse(r, 400)
        return HTTP1_REFUSED
    status = http1_judge_bytes(r, r.fed + used[0])
    if status:
        request_refuse(r, status)
        return HTTP1_REFUSED
    if error == HPE_PAUSED:
        return HTTP1_COMPLETE if r.complete else HTTP1_HEAD
    request_end_piece(r, n)
    return HTTP1_MORE
