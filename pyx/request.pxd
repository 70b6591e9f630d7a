"""Request: the head of one request, copied out of the receive buffers.

Only what the engine looks at is kept: the target and the fields of ``Field``. The
parser may hand both over in any number of pieces.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from limits cimport FIELD_ARENA_BYTES, HEADER_NAME_BYTES_MAX, TARGET_BYTES_MAX, Limits
from text cimport Text


cdef enum:  # Field
    FIELD_OTHER
    FIELD_HOST
    FIELD_RANGE
    FIELD_IF_RANGE
    FIELD_IF_MATCH
    FIELD_IF_NONE_MATCH
    FIELD_IF_MODIFIED_SINCE
    FIELD_IF_UNMODIFIED_SINCE
    FIELD_AUTHORIZATION
    FIELD_EXPECT
    FIELD_CONNECTION
    FIELD_TRANSFER_ENCODING
    FIELD_ACCEPT_ENCODING
    # From trusted proxies only.
    FIELD_FORWARDED
    FIELD_X_FORWARDED_FOR
    FIELD_CLIENT_ID        # whatever it is called
    FIELD_COUNT

cdef enum:
    # Longer than every name in Field; one that is not shorter is none of them.
    FIELD_NAME_BYTES = HEADER_NAME_BYTES_MAX + 1

cdef struct Request:
    const Limits* limits
    Text fields[FIELD_COUNT]       # values in arena; at == NULL: absent
    int64_t body_bytes             # of the body, received and thrown away
    int64_t content_length         # declared; -1: none
    int64_t started_ns             # the head was complete
    uint64_t fed                   # bytes of the stream before ``feed``
    uint64_t value_end             # where in the stream the value stopped last
    uint64_t name_end              # and the name
    uint64_t head_end              # and the head, but for its last line ends
    const char* feed               # the piece that is being parsed
    uint32_t target_n
    uint32_t arena_n
    uint32_t header_bytes          # names and values so far, with their separators
    uint32_t headers               # lines so far
    uint32_t gap_lines             # line ends since the name, in earlier pieces
    uint32_t tail                  # the last bytes of earlier pieces, newest lowest
    uint32_t value_at              # where the current value starts in arena
    uint16_t status                # why it is refused; 0: it is not
    uint16_t repeated              # bit per Field that came twice and must not
    uint8_t method                 # llhttp's HTTP_*
    uint8_t field                  # whose value is coming
    uint8_t name_n                 # of the current name; FIELD_NAME_BYTES: too long
    uint8_t encoding               # the sidecar to answer with (encodings.pxd)
    uint8_t refused_encodings      # bit per Encoding whose sidecar could not be opened
    bint in_value
    bint begun                     # a first byte was seen
    bint method_unknown            # its token is read to the end, to tell 501 from 400
    bint protocol_seen             # the version has begun
    bint head_done                 # fields from here on are trailers
    bint chunked
    bint keep_alive
    bint http_1_0
    bint index_tried               # path already ends in index.html
    bint trailing_slash
    bint proxied                   # it came from a trusted proxy
    bint delegated                 # Python answers it (delegate.pxd)
    bint complete                  # all of the message was parsed
    char* lines                    # of a delegated one: its fields, on the heap
    uint32_t lines_n
    char* sink                     # where its body goes; NULL: it is thrown away
    uint32_t sink_n
    uint32_t path_n
    char name[FIELD_NAME_BYTES]
    char path[TARGET_BYTES_MAX]    # decoded, relative to the root, NUL-terminated
    char target[TARGET_BYTES_MAX]
    char arena[FIELD_ARENA_BYTES]


cdef inline void request_reset(Request* r, const Limits* limits) noexcept nogil:
    cdef int i
    r.limits = limits
    for i in range(FIELD_COUNT):
        r.fields[i].at = NULL
        r.fields[i].n = 0
    r.body_bytes = 0
    r.content_length = -1
    r.started_ns = 0
    r.fed = r.value_end = r.name_end = r.head_end = 0
    r.target_n = r.arena_n = r.header_bytes = r.headers = r.value_at = 0
    r.path_n = r.gap_lines = r.tail = 0
    r.status = r.repeated = 0
    r.method = r.field = r.name_n = 0
    r.encoding = r.refused_encodings = 0
    r.in_value = r.begun = r.method_unknown = r.protocol_seen = False
    r.head_done = False
    r.chunked = r.keep_alive = r.http_1_0 = False
    r.index_tried = r.trailing_slash = r.proxied = False
    r.delegated = r.complete = False
    r.lines = r.sink = NULL
    r.lines_n = r.sink_n = 0


cdef inline bint request_delegate(Request* r) noexcept nogil:
    """From here on all fields are kept as they come; false without memory."""
    r.lines = <char*>malloc(r.limits.max_header_bytes)
    r.delegated = r.lines != NULL
    if not r.delegated:
        request_refuse(r, 503)
    return r.delegated


cdef inline void request_drop_lines(Request* r) noexcept nogil:
    free(r.lines)
    r.lines = NULL


cdef inline bint request_add_line(Request* r, const char* s, size_t n) noexcept nogil:
    """Of a field of a delegated request; trailers are dropped."""
    if not r.delegated or r.head_done:
        return True
    if r.lines_n + n > r.limits.max_header_bytes:
        request_refuse(r, 431)
        return False
    memcpy(r.lines + r.lines_n, s, n)
    r.lines_n += <uint32_t>n
    return True


cdef inline bint request_refuse(Request* r, uint16_t status) noexcept nogil:
    """Remember the first reason; always true, so that callers can return it."""
    if r.status == 0:
        r.status = status
    return True


cdef inline bint field_named(
    const Request* r, const char* lower, size_t n
) noexcept nogil:
    return r.name_n == n and memcmp(r.name, lower, n) == 0


cdef inline uint8_t field_lookup_proxied(const Request* r) noexcept nogil:
    """What a trusted proxy says of whom it serves."""
    if r.limits.reads_forwarded:
        if field_named(r, b"forwarded", 9):
            return FIELD_FORWARDED
        if field_named(r, b"x-forwarded-for", 15):
            return FIELD_X_FORWARDED_FOR
    if r.limits.header_n and field_named(r, r.limits.header, r.limits.header_n):
        return FIELD_CLIENT_ID
    return FIELD_OTHER


cdef inline uint8_t field_lookup(const Request* r) noexcept nogil:
    cdef size_t n = r.name_n
    if n == 4 and field_named(r, b"host", 4):
        return FIELD_HOST
    if n == 5 and field_named(r, b"range", 5):
        return FIELD_RANGE
    if n == 6 and field_named(r, b"expect", 6):
        return FIELD_EXPECT
    if n == 8:
        if field_named(r, b"if-range", 8):
            return FIELD_IF_RANGE
        if field_named(r, b"if-match", 8):
            return FIELD_IF_MATCH
    if n == 10 and field_named(r, b"connection", 10):
        return FIELD_CONNECTION
    if n == 13:
        if field_named(r, b"authorization", 13):
            return FIELD_AUTHORIZATION
        if field_named(r, b"if-none-match", 13):
            return FIELD_IF_NONE_MATCH
    if n == 15 and r.limits.encodings.n and field_named(r, b"accept-encoding", 15):
        return FIELD_ACCEPT_ENCODING  # nobody else looks at it
    if n == 17:
        if field_named(r, b"if-modified-since", 17):
            return FIELD_IF_MODIFIED_SINCE
        if field_named(r, b"transfer-encoding", 17):
            return FIELD_TRANSFER_ENCODING
    if n == 19 and field_named(r, b"if-unmodified-since", 19):
        return FIELD_IF_UNMODIFIED_SINCE
    return field_lookup_proxied(r) if r.proxied else FIELD_OTHER


cdef inline bint field_is_list(uint8_t field) noexcept nogil:
    """Fields whose several lines mean one list (RFC 9110 section 5.3)."""
    return (
        field == FIELD_IF_MATCH or field == FIELD_IF_NONE_MATCH
        or field == FIELD_CONNECTION or field == FIELD_ACCEPT_ENCODING
        or field == FIELD_FORWARDED or field == FIELD_X_FORWARDED_FOR)


cdef inline bint request_keep(Request* r, const char* s, size_t n) noexcept nogil:
    """Append to the arena; false, and 431, when it is full."""
    if r.arena_n + n > FIELD_ARENA_BYTES:
        request_refuse(r, 431)
        return False
    memcpy(&r.arena[r.arena_n], s, n)
    r.arena_n += <uint32_t>n
    return True


cdef inline bint request_add_target(
    Request* r, const char* s, size_t n
) noexcept nogil:
    if r.target_n + n > r.limits.max_request_line_bytes:
        request_refuse(r, 414)
        return False
    memcpy(&r.target[r.target_n], s, n)
    r.target_n += <uint32_t>n
    return True


cdef inline bint request_count_header(Request* r, size_t n) noexcept nogil:
    r.header_bytes += <uint32_t>n
    if r.header_bytes > r.limits.max_header_bytes:
        request_refuse(r, 431)
        return False
    return True


cdef inline uint64_t request_position(const Request* r, const char* s) noexcept nogil:
    """Where in the stream ``s`` is, which points into the piece being parsed."""
    return r.fed + <uint64_t>(s - r.feed)


cdef inline bint request_add_name(Request* r, const char* s, size_t n) noexcept nogil:
    cdef size_t i
    cdef char c
    r.name_end = request_position(r, s + n)
    if not request_add_line(r, s, n):
        return False
    if r.in_value or r.headers == 0:
        r.in_value = False
        r.name_n = 0
        r.gap_lines = 0
        r.headers += 1
        if r.headers > r.limits.max_headers:
            request_refuse(r, 431)
            return False
        r.header_bytes += 4  # colon, space, CR, LF
    if r.name_n + n > FIELD_NAME_BYTES:
        r.name_n = FIELD_NAME_BYTES
        return request_count_header(r, n)
    for i in range(n):
        c = s[i]
        r.name[r.name_n + i] = c | 32 if 65 <= c <= 90 else c
    r.name_n += <uint8_t>n
    return request_count_header(r, n)


cdef inline bint request_continue_list(Request* r, Text list) noexcept nogil:
    """The next value goes behind ``list``: in place if nothing follows it in the arena,
    so that many lines do not fill it with copies of each other."""
    if list.at + list.n == &r.arena[r.arena_n]:
        r.value_at = <uint32_t>(list.at - r.arena)
    elif not request_keep(r, list.at, list.n):
        return False
    return request_keep(r, b", ", 2)


cdef inline uint8_t request_which_field(const Request* r) noexcept nogil:
    """Trailers are counted and dropped: merged into the head they would change what a
    recipient that drops them sees (RFC 9110 section 6.5.1)."""
    if r.head_done or r.name_n == FIELD_NAME_BYTES:
        return FIELD_OTHER
    return field_lookup(r)


cdef inline bint request_begin_value(Request* r) noexcept nogil:
    cdef Text* known
    if not request_add_line(r, b": ", 2):
        return False
    r.in_value = True
    r.field = request_which_field(r)
    r.value_at = r.arena_n
    if r.field == FIELD_OTHER:
        return True
    known = &r.fields[r.field]
    if known.at == NULL:
        return True
    if not field_is_list(r.field):
        r.repeated |= <uint16_t>(1 << r.field)
        return True
    return request_continue_list(r, known[0])


cdef inline uint32_t request_gap_lines(
    const Request* r, const char* end
) noexcept nogil:
    """Line ends between the name and ``end``, which points into the current piece."""
    cdef const char* s = r.feed
    cdef uint32_t lines = r.gap_lines
    if r.name_end > r.fed:
        s += r.name_end - r.fed
    while s < end:
        lines += s[0] == c'\n'
        s += 1
    return lines


cdef inline bint request_is_folded(
    Request* r, const char* s, size_t n
) noexcept nogil:
    """Line folding, which only obsolete senders and smugglers use (RFC 9112 section
    5.2): a gap inside a value, or a line end before it. An empty value is handed over
    after the one that ends its line."""
    cdef uint64_t at = request_position(r, s)
    cdef bint folded
    if r.in_value:
        folded = n > 0 and at != r.value_end
    else:
        folded = request_gap_lines(r, s) > (1 if n == 0 else 0)
    r.value_end = at + n
    return folded


cdef inline bint request_add_value(Request* r, const char* s, size_t n) noexcept nogil:
    if request_is_folded(r, s, n) or r.name_n == 0:
        request_refuse(r, 400)
        return False
    if not r.in_value and not request_begin_value(r):
        return False
    if r.field != FIELD_OTHER and not request_keep(r, s, n):
        return False
    return request_add_line(r, s, n) and request_count_header(r, n)


cdef inline bint request_end_value(Request* r) noexcept nogil:
    cdef uint32_t end = r.arena_n
    if not r.in_value and not request_begin_value(r):
        return False
    if not request_add_line(r, b"\r\n", 2):
        return False
    if r.field == FIELD_OTHER:
        return True
    end = r.arena_n
    while end > r.value_at and r.arena[end - 1] in (32, 9):
        end -= 1
    r.fields[r.field].at = &r.arena[r.value_at]
    r.fields[r.field].n = end - r.value_at
    r.arena_n = end
    return True


cdef inline uint8_t request_byte_before(
    const Request* r, const char* s, size_t distance
) noexcept nogil:
    """The byte at ``s - distance``, 1 to 4, also if it was in an earlier piece."""
    cdef size_t here = <size_t>(s - r.feed)
    if distance <= here:
        return <uint8_t>(s - distance)[0]
    return <uint8_t>(r.tail >> 8 * (distance - here - 1))


cdef inline void request_end_piece(Request* r, size_t n) noexcept nogil:
    """``n`` bytes at ``r.feed`` were parsed and the message goes on."""
    cdef size_t i
    for i in range(n - min(n, <size_t>4), n):
        r.tail = r.tail << 8 | <uint8_t>r.feed[i]
    if r.headers and not r.in_value:
        r.gap_lines = request_gap_lines(r, r.feed + n)
    r.fed += n


cdef inline bint request_repeats(const Request* r, uint8_t field) noexcept nogil:
    """Whether a field came twice and must not."""
    return (r.repeated & (1 << field)) != 0


cdef inline Text request_field(Request* r, uint8_t field) noexcept nogil:
    """The value, or absent; a field that came twice and must not counts as absent."""
    cdef Text none
    if request_repeats(r, field):
        none.at = NULL
        none.n = 0
        return none
    return r.fields[field]
