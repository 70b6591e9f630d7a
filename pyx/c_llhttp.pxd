"""llhttp.h (8.1, built with LLHTTP_STRICT_MODE): only what the engine uses."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t


cdef extern from "llhttp.h" nogil:
    struct llhttp_t "llhttp__internal_s":
        void* data
        uint64_t content_length
        uint8_t method
        uint8_t http_major
        uint8_t http_minor
        uint8_t upgrade
        uint8_t lenient_flags
        uint16_t flags
        # ...

    ctypedef int (*llhttp_data_cb)(llhttp_t*, const char*, size_t) noexcept nogil
    ctypedef int (*llhttp_cb)(llhttp_t*) noexcept nogil

    struct llhttp_settings_t "llhttp_settings_s":
        llhttp_cb on_message_begin
        llhttp_cb on_method_complete
        llhttp_data_cb on_url
        llhttp_data_cb on_version
        llhttp_data_cb on_header_field
        llhttp_data_cb on_header_value
        llhttp_cb on_header_value_complete
        llhttp_cb on_headers_complete
        llhttp_data_cb on_body
        llhttp_cb on_message_complete
        # ...

    enum:
        HTTP_REQUEST
        HTTP_DELETE
        HTTP_GET
        HTTP_HEAD
        HTTP_POST
        HTTP_PUT
        HTTP_CONNECT
        HTTP_OPTIONS
        HTTP_TRACE
        HTTP_PATCH
        HPE_OK
        HPE_PAUSED
        HPE_PAUSED_UPGRADE
        HPE_USER
        HPE_INVALID_METHOD
        F_CONNECTION_KEEP_ALIVE
        F_CONNECTION_CLOSE
        F_CHUNKED
        F_CONTENT_LENGTH
        LENIENT_VERSION

    void llhttp_settings_init(llhttp_settings_t* settings)
    void llhttp_init(llhttp_t* parser, int type, const llhttp_settings_t* settings)
    void llhttp_reset(llhttp_t* parser)
    int llhttp_execute(llhttp_t* parser, const char* data, size_t n)
    void llhttp_resume(llhttp_t* parser)
    const char* llhttp_method_name(int method)
    const char* llhttp_get_error_pos(const llhttp_t* parser)
