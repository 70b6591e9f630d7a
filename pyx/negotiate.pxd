"""Negotiate: whether a sidecar answers a request instead of the file that it names."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from accept_encoding cimport accept_encoding_choose
from encodings cimport ENCODING_IDENTITY, ENCODING_SUFFIX_BYTES_MAX, encoding_suffix
from engine cimport Engine
from filecache cimport FILE_READY, FILE_REGULAR, File
from limits cimport TARGET_BYTES_MAX
from request cimport FIELD_ACCEPT_ENCODING, Request, request_field
from resolve cimport resolve
from text cimport Text


cdef inline bint negotiate(Engine* e, File* f, Request* r) noexcept nogil:
    """True: ``r.encoding`` says which sidecar of ``f`` to send. Those that this request
    could not open are remembered by ``f``, so that others do not try them."""
    if f.sidecars == 0 or r.path_n + ENCODING_SUFFIX_BYTES_MAX >= TARGET_BYTES_MAX:
        return False
    f.refused |= r.refused_encodings
    r.encoding = accept_encoding_choose(
        request_field(r, FIELD_ACCEPT_ENCODING), &e.limits.encodings,
        f.sidecars & ~f.refused)
    return r.encoding != ENCODING_IDENTITY


cdef inline bint negotiation_failed(const Request* r, const File* f) noexcept nogil:
    """``f``, filled, is a sidecar that cannot be sent."""
    return r.encoding != ENCODING_IDENTITY and (
        f.state != FILE_READY or f.kind != FILE_REGULAR)


cdef inline void negotiate_again(Request* r) noexcept nogil:
    """Without this encoding; each can fail once."""
    r.refused_encodings |= <uint8_t>(1 << r.encoding)
    r.encoding = ENCODING_IDENTITY


cdef inline File* resolve_request(Engine* e, Request* r) noexcept nogil:
    """``resolve`` the request's path, or the sidecar of it that was chosen."""
    cdef Text suffix = encoding_suffix(r.encoding)
    cdef File* f
    if r.encoding == ENCODING_IDENTITY:
        return resolve(e, r.path, r.path_n, ENCODING_IDENTITY)
    memcpy(&r.path[r.path_n], suffix.at, suffix.n)
    f = resolve(e, r.path, r.path_n + suffix.n, r.encoding)
    r.path[r.path_n] = 0
    return f
