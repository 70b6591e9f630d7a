"""The HTTP/1.1 parser adapter for pytest: bytes in, requests out."""

from libc.stdlib cimport free as parser_free, malloc as parser_malloc
from libc.string cimport memcpy as parser_memcpy, memset as parser_memset

from c_llhttp cimport llhttp_settings_t
from http1 cimport (
    HTTP1_COMPLETE, HTTP1_MORE, Http1, Http1Result, http1_expect, http1_feed,
    http1_init, http1_settings,
)
from encodings cimport ENCODING_GZIP
from limits cimport Limits
from request cimport (
    FIELD_ACCEPT_ENCODING, FIELD_AUTHORIZATION, FIELD_CONNECTION, FIELD_EXPECT,
    FIELD_HOST, FIELD_IF_MATCH, FIELD_IF_MODIFIED_SINCE, FIELD_IF_NONE_MATCH,
    FIELD_IF_RANGE, FIELD_IF_UNMODIFIED_SINCE, FIELD_RANGE, FIELD_TRANSFER_ENCODING,
    Request, request_field, request_reset,
)
from text cimport Text as ParserText

PARSER_FIELDS = {
    "host": FIELD_HOST, "range": FIELD_RANGE, "if-range": FIELD_IF_RANGE,
    "if-match": FIELD_IF_MATCH, "if-none-match": FIELD_IF_NONE_MATCH,
    "if-modified-since": FIELD_IF_MODIFIED_SINCE,
    "if-unmodified-since": FIELD_IF_UNMODIFIED_SINCE,
    "authorization": FIELD_AUTHORIZATION, "expect": FIELD_EXPECT,
    "connection": FIELD_CONNECTION, "transfer-encoding": FIELD_TRANSFER_ENCODING,
    "accept-encoding": FIELD_ACCEPT_ENCODING,
}


cdef class Parser:
    """One connection's parser. ``feed`` stops after each message."""
    cdef Http1 http
    cdef llhttp_settings_t settings
    cdef Request* request
    cdef Limits limits

    def __cinit__(
        self, *, target=8192, header_bytes=32768, headers=100, body=65536,
        bint negotiates=True,
    ):
        parser_memset(&self.limits, 0, sizeof(self.limits))
        self.limits.max_request_line_bytes = target
        self.limits.max_header_bytes = header_bytes
        self.limits.max_headers = headers
        self.limits.max_body_bytes = body
        self.limits.encodings.n = negotiates
        self.limits.encodings.order[0] = ENCODING_GZIP
        self.request = <Request*>parser_malloc(sizeof(Request))
        http1_settings(&self.settings)
        http1_init(&self.http, &self.settings)
        self.next_request()

    def __dealloc__(self):
        parser_free(self.request)

    def next_request(self):
        request_reset(self.request, &self.limits)
        http1_expect(&self.http, self.request)

    def feed(self, bytes data):
        """("more" | "complete" | "refused", bytes used); ``data`` in memory of exactly
        its size, so that a sanitizer sees a read past it."""
        cdef size_t used = 0
        cdef size_t n = len(data)
        cdef char* copy = <char*>parser_malloc(n if n else 1)
        cdef Http1Result result
        parser_memcpy(copy, <const char*>data, n)
        result = http1_feed(&self.http, copy, n, &used)
        parser_free(copy)
        if result == HTTP1_MORE:
            return "more", used
        return ("complete" if result == HTTP1_COMPLETE else "refused"), used

    def head(self):
        """What was read, as plain values."""
        cdef Request* r = self.request
        cdef ParserText text
        fields = {}
        for name, index in PARSER_FIELDS.items():
            text = request_field(r, <unsigned char>index)
            if text.at != NULL:
                fields[name] = text.at[:text.n]
        return {
            "method": r.method, "target": r.target[:r.target_n], "fields": fields,
            "status": r.status, "keep_alive": bool(r.keep_alive),
            "http_1_0": bool(r.http_1_0), "begun": bool(r.begun),
            "body_bytes": r.body_bytes, "chunked": bool(r.chunked),
            "content_length": r.content_length,
        }
