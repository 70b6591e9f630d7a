"""Plan: from a request and a file to the spans of its response.

Pure: decides 200, 206, 304, 412 or 416 and fills the transfer. Preconditions come
before ranges (RFC 9110 section 13.2.2); a range applies to GET only (section 14.2).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport strlen

from c_llhttp cimport HTTP_GET
from conditions cimport (
    Conditions, Validators, conditions_evaluate, conditions_range_applies,
)
from encodings cimport encoding_name
from filecache cimport File, file_ref
from heads cimport (
    Facts, boundary_write, head_begin, head_connection, head_content_range,
    head_encoding, head_end, head_field, head_length, head_of_whole,
    head_retry_after, head_unsatisfied_range, head_validators, part_begin, part_end,
    status_reason,
)
from httpdate cimport HTTPDATE_BYTES
from image cimport image_body
from limiter cimport Explanation, limiter_write
from limits cimport RANGES_MAX, MESSAGE_TEXT_BYTES
from ranges cimport ByteRange, RANGES_IGNORE, RANGES_UNSATISFIABLE, ranges_parse
from request cimport (
    FIELD_IF_MATCH, FIELD_IF_MODIFIED_SINCE, FIELD_IF_NONE_MATCH, FIELD_IF_RANGE,
    FIELD_IF_UNMODIFIED_SINCE, FIELD_RANGE, Request, request_field, request_repeats,
)
from text cimport Text
from transfer cimport Transfer, transfer_add
from writer cimport (
    Writer, writer_count, writer_init, writer_string, writer_u64,
)


cdef struct Plan:
    # What every planner below needs, gathered once.
    Transfer* transfer
    Request* request
    File* file
    Facts facts
    Writer text            # over the message's text
    const char* date       # of the head, HTTPDATE_BYTES
    int64_t now_s
    uint64_t boundary      # random: separates parts
    bint close             # the connection ends with this response
    bint explains          # the head says what limits the client
    int64_t retry_s        # when to try again, if the path is bad now; 0: no word of it
    Explanation limit


cdef inline Facts file_facts(File* f) noexcept nogil:
    cdef Facts facts
    facts.etag.at = f.etag
    facts.etag.n = f.etag_n
    facts.last_modified.at = f.last_modified
    facts.last_modified.n = HTTPDATE_BYTES
    facts.media_type = f.media_type
    facts.size = f.size
    facts.encoding.at = NULL
    facts.encoding.n = 0
    facts.varies = f.sidecars or f.encoding
    if f.encoding:
        facts.encoding = encoding_name(f.encoding)
    return facts


cdef inline int plan_judge(Plan* p) noexcept nogil:
    """0, 304 or 412."""
    cdef Request* r = p.request
    cdef Conditions c
    cdef Validators v
    c.if_match = request_field(r, FIELD_IF_MATCH)
    c.if_none_match = request_field(r, FIELD_IF_NONE_MATCH)
    c.if_modified_since = request_field(r, FIELD_IF_MODIFIED_SINCE)
    c.if_unmodified_since = request_field(r, FIELD_IF_UNMODIFIED_SINCE)
    c.if_range = request_field(r, FIELD_IF_RANGE)
    v.etag = p.facts.etag
    v.mtime_s = p.file.modified_s
    return conditions_evaluate(&c, &v, True, p.now_s)


cdef inline int plan_ranges(Plan* p, ByteRange* ranges) noexcept nogil:
    """As ``ranges_parse``; RANGES_IGNORE where no range applies."""
    cdef Request* r = p.request
    cdef Text range = request_field(r, FIELD_RANGE)
    cdef Conditions c
    cdef Validators v
    if range.at == NULL or r.method != HTTP_GET:
        return RANGES_IGNORE
    if request_repeats(r, FIELD_IF_RANGE):
        return RANGES_IGNORE  # which one is meant? The whole file is never wrong
    c.if_range = r.fields[FIELD_IF_RANGE]
    v.etag = p.facts.etag
    v.mtime_s = p.file.modified_s
    if not conditions_range_applies(&c, &v, p.now_s):
        return RANGES_IGNORE
    return ranges_parse(
        range.at, range.n, p.file.size, ranges, <int>r.limits.max_ranges)


cdef inline void plan_body(Plan* p, int64_t first, int64_t n) noexcept nogil:
    if p.file.image != NULL:
        transfer_add(p.transfer, image_body(p.file.image) + first, 0, n)
    else:
        transfer_add(p.transfer, NULL, first, n)


cdef inline void plan_close_head(Plan* p, size_t start) noexcept nogil:
    """End the head and make a span of what was written since ``start``."""
    if p.explains:
        limiter_write(&p.text, &p.limit)
    if p.retry_s:
        head_retry_after(&p.text, p.retry_s)
    head_connection(&p.text, p.close, p.request.http_1_0)
    head_end(&p.text)
    transfer_add(
        p.transfer, p.text.start + start, 0,
        <int64_t>(writer_count(&p.text) - start))


cdef inline void plan_reason_head(Plan* p, int status) noexcept nogil:
    cdef size_t n = strlen(status_reason(status))
    writer_string(&p.text, b"Content-Type: text/plain; charset=utf-8\r\n")
    head_length(&p.text, <int64_t>n + 5)  # "412 " and a newline


cdef inline void plan_reason(Plan* p, int status) noexcept nogil:
    cdef size_t start = writer_count(&p.text)
    writer_u64(&p.text, <uint64_t>status)
    writer_string(&p.text, b" ")
    writer_string(&p.text, status_reason(status))
    writer_string(&p.text, b"\n")
    transfer_add(
        p.transfer, p.text.start + start, 0,
        <int64_t>(writer_count(&p.text) - start))


cdef inline void plan_bodiless(Plan* p, int status) noexcept nogil:
    """304, and the heads of 412 and 416, which say why in a line of text.

    All depend on which representation was selected, so that Vary belongs to all; what
    the text is encoded with does not.
    """
    p.transfer.status = status
    head_begin(&p.text, status, p.date)
    if status == 416:
        head_unsatisfied_range(&p.text, p.file.size)
    head_validators(&p.text, &p.facts)
    if status != 304:
        plan_reason_head(p, status)
    plan_close_head(p, 0)
    if status != 304 and p.request.method == HTTP_GET:
        plan_reason(p, status)


cdef inline void plan_whole(Plan* p) noexcept nogil:
    p.transfer.status = 200
    head_of_whole(&p.text, &p.facts, p.date)
    plan_close_head(p, 0)
    if p.request.method == HTTP_GET:
        plan_body(p, 0, p.file.size)


cdef inline void plan_one_range(Plan* p, const ByteRange* r) noexcept nogil:
    p.transfer.status = 206
    head_begin(&p.text, 206, p.date)
    head_field(&p.text, b"Content-Type: ", p.facts.media_type)
    head_encoding(&p.text, &p.facts)
    head_length(&p.text, r.last - r.first + 1)
    head_content_range(&p.text, r.first, r.last, p.file.size)
    head_validators(&p.text, &p.facts)
    plan_close_head(p, 0)
    plan_body(p, r.first, r.last - r.first + 1)


cdef inline int64_t plan_parts_text(
    Plan* p, const ByteRange* ranges, int n, uint32_t* ends
) noexcept nogil:
    """Write the heads of all parts; ``ends`` get their offsets. Returns the length of
    the whole body."""
    cdef int i
    cdef int64_t body = 0
    cdef size_t start = writer_count(&p.text)
    for i in range(n):
        part_begin(&p.text, p.boundary, i == 0, &p.facts)
        head_content_range(&p.text, ranges[i].first, ranges[i].last, p.file.size)
        head_end(&p.text)
        ends[i] = <uint32_t>writer_count(&p.text)
        body += ranges[i].last - ranges[i].first + 1
    part_end(&p.text, p.boundary)
    ends[n] = <uint32_t>writer_count(&p.text)
    return body + <int64_t>(ends[n] - start)


cdef inline void plan_many_ranges(
    Plan* p, const ByteRange* ranges, int n
) noexcept nogil:
    """multipart/byteranges. The parts' heads are written first, because the length of
    the body must be known before the head of the response is."""
    cdef uint32_t ends[RANGES_MAX + 1]
    cdef int64_t body = plan_parts_text(p, ranges, n, ends)
    cdef size_t head_at = writer_count(&p.text)
    cdef uint32_t at = 0
    cdef int i
    p.transfer.status = 206
    head_begin(&p.text, 206, p.date)
    writer_string(&p.text, b"Content-Type: multipart/byteranges; boundary=")
    boundary_write(&p.text, p.boundary)
    writer_string(&p.text, b"\r\n")
    head_encoding(&p.text, &p.facts)  # of what the parts are pieces of
    head_length(&p.text, body)
    head_validators(&p.text, &p.facts)
    plan_close_head(p, head_at)
    for i in range(n):
        transfer_add(p.transfer, p.text.start + at, 0, ends[i] - at)
        plan_body(p, ranges[i].first, ranges[i].last - ranges[i].first + 1)
        at = ends[i]
    transfer_add(p.transfer, p.text.start + at, 0, ends[n] - at)


cdef inline void plan_file(Plan* p) noexcept nogil:
    """Fill ``p.transfer``. ``facts``, ``date``, ``now_s``, ``boundary``, ``close``,
    ``request`` and ``file`` are set."""
    cdef ByteRange ranges[RANGES_MAX]
    cdef int n
    cdef int verdict = plan_judge(p)
    writer_init(&p.text, p.transfer.message.text, MESSAGE_TEXT_BYTES)
    if verdict:
        plan_bodiless(p, verdict)
        return
    n = plan_ranges(p, ranges)
    if n == RANGES_UNSATISFIABLE:
        plan_bodiless(p, 416)
    elif n == 1:
        plan_one_range(p, ranges)
    elif n > 1:
        plan_many_ranges(p, ranges, n)
    else:
        plan_whole(p)
