"""Heads: status lines and header fields, written in one fixed order.

Pure: memory in, memory out. RFC 9110 sections 8 and 15.
"""

from libc.stdint cimport int64_t, uint64_t

from httpdate cimport HTTPDATE_BYTES
from text cimport Text
from writer cimport (
    Writer, writer_bytes, writer_count, writer_hex, writer_string, writer_text,
    writer_u64,
)


cdef extern from *:
    """
    static inline const char *status_reason(int status) {
        switch (status) {
        case 200: return "OK";
        case 201: return "Created";
        case 204: return "No Content";
        case 206: return "Partial Content";
        case 301: return "Moved Permanently";
        case 304: return "Not Modified";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 410: return "Gone";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 415: return "Unsupported Media Type";
        case 416: return "Range Not Satisfiable";
        case 417: return "Expectation Failed";
        case 422: return "Unprocessable Content";
        case 428: return "Precondition Required";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        case 460: return "Checksum Mismatch";
        case 507: return "Insufficient Storage";
        case 505: return "HTTP Version Not Supported";
        default: return "Unknown";
        }
    }
    #define ALLOWED_METHODS "GET, HEAD, OPTIONS"
    """
    const char* status_reason(int status) nogil
    const char* ALLOWED_METHODS

cdef struct Facts:
    # What the head says of a representation.
    Text etag
    Text last_modified
    Text media_type
    Text encoding    # absent: none
    int64_t size
    bint varies      # Accept-Encoding could have chosen another


cdef inline size_t head_begin(Writer* w, int status, const char* date) noexcept nogil:
    """Status line, Date and Server; returns the offset of the Date value."""
    cdef size_t date_at
    writer_string(w, b"HTTP/1.1 ")
    writer_u64(w, <uint64_t>status)
    writer_string(w, b" ")
    writer_string(w, status_reason(status))
    writer_string(w, b"\r\nServer: penstock\r\nDate: ")
    date_at = writer_count(w)
    writer_bytes(w, date, HTTPDATE_BYTES)
    writer_string(w, b"\r\n")
    return date_at


cdef inline void head_field(Writer* w, const char* name, Text value) noexcept nogil:
    """``name`` includes the colon and the space."""
    writer_string(w, name)
    writer_text(w, value)
    writer_string(w, b"\r\n")


cdef inline void head_length(Writer* w, int64_t n) noexcept nogil:
    writer_string(w, b"Content-Length: ")
    writer_u64(w, <uint64_t>n)
    writer_string(w, b"\r\n")


cdef inline void head_retry_after(Writer* w, int64_t seconds) noexcept nogil:
    """RFC 9110 section 10.2.3."""
    writer_string(w, b"Retry-After: ")
    writer_u64(w, <uint64_t>seconds)
    writer_string(w, b"\r\n")


cdef inline void head_validators(Writer* w, const Facts* f) noexcept nogil:
    head_field(w, b"ETag: ", f.etag)
    head_field(w, b"Last-Modified: ", f.last_modified)
    writer_string(w, b"Accept-Ranges: bytes\r\n")
    if f.varies:
        writer_string(w, b"Vary: Accept-Encoding\r\n")


cdef inline void head_encoding(Writer* w, const Facts* f) noexcept nogil:
    if f.encoding.at != NULL:
        head_field(w, b"Content-Encoding: ", f.encoding)


cdef inline void head_content_range(
    Writer* w, int64_t first, int64_t last, int64_t size
) noexcept nogil:
    writer_string(w, b"Content-Range: bytes ")
    writer_u64(w, <uint64_t>first)
    writer_string(w, b"-")
    writer_u64(w, <uint64_t>last)
    writer_string(w, b"/")
    writer_u64(w, <uint64_t>size)
    writer_string(w, b"\r\n")


cdef inline void head_unsatisfied_range(Writer* w, int64_t size) noexcept nogil:
    writer_string(w, b"Content-Range: bytes */")
    writer_u64(w, <uint64_t>size)
    writer_string(w, b"\r\n")


cdef inline void head_connection(Writer* w, bint close, bint http_1_0) noexcept nogil:
    """Only what is not the version's default needs saying (RFC 9112 section 9.3)."""
    if close:
        writer_string(w, b"Connection: close\r\n")
    elif http_1_0:
        writer_string(w, b"Connection: keep-alive\r\n")


cdef inline void head_end(Writer* w) noexcept nogil:
    writer_string(w, b"\r\n")


cdef inline size_t head_of_whole(
    Writer* w, const Facts* f, const char* date
) noexcept nogil:
    """The 200 head up to the Connection field; returns the offset of the Date value."""
    cdef size_t date_at = head_begin(w, 200, date)
    head_field(w, b"Content-Type: ", f.media_type)
    head_encoding(w, f)
    head_length(w, f.size)
    head_validators(w, f)
    return date_at


cdef inline void boundary_write(Writer* w, uint64_t boundary) noexcept nogil:
    writer_string(w, b"penstock-")
    writer_hex(w, boundary)


cdef inline void part_begin(
    Writer* w, uint64_t boundary, bint first, const Facts* f
) noexcept nogil:
    """Head of one part of multipart/byteranges (RFC 9110 section 14.6)."""
    if not first:
        writer_string(w, b"\r\n")
    writer_string(w, b"--")
    boundary_write(w, boundary)
    writer_string(w, b"\r\nContent-Type: ")
    writer_text(w, f.media_type)
    writer_string(w, b"\r\n")


cdef inline void part_end(Writer* w, uint64_t boundary) noexcept nogil:
    writer_string(w, b"\r\n--")
    boundary_write(w, boundary)
    writer_string(w, b"--\r\n")
