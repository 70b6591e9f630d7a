"""Limits: what can be set of an engine, with bounds, and the paths left to Python."""

from delegate cimport DELEGATE_BYTES_MAX, DELEGATES_MAX, Delegates
from limits cimport (
    INTAKES_MAX, RANGES_MAX, TARGET_BYTES_MAX, WRITE_AUTO, WRITE_DIRECT, Limits,
)
from strategy cimport TRANSMIT_AUTO, TRANSMIT_ZEROCOPY

SECOND = 1_000_000_000

# name: (default, least, most)
LIMITS = {
    "max_connections": (16384, 1, 1 << 20),
    "max_request_line_bytes": (8192, 64, TARGET_BYTES_MAX - 1),
    "max_header_bytes": (32768, 256, 1 << 20),
    "max_headers": (100, 1, 10000),
    "max_ranges": (16, 1, RANGES_MAX),
    "max_body_bytes": (65536, 0, 1 << 40),
    "idle_timeout_ns": (60 * SECOND, SECOND // 1000, 86400 * SECOND),
    "header_timeout_ns": (10 * SECOND, SECOND // 1000, 86400 * SECOND),
    "write_timeout_ns": (60 * SECOND, SECOND // 1000, 86400 * SECOND),
    "linger_timeout_ns": (2 * SECOND, SECOND // 1000, 600 * SECOND),
    "small_file_bytes": (16384, 0, 1 << 24),
    "busy_poll_us": (0, 0, 1000),
    "transmit": (TRANSMIT_AUTO, TRANSMIT_AUTO, TRANSMIT_ZEROCOPY),
    "cache_entries": (4096, 1, 1 << 20),
    "cache_bytes": (1 << 26, 0, 1 << 40),
    "cache_revalidate_ns": (SECOND, 0, 86400 * SECOND),
    "pipes": (8, 1, 1024),
    "pipe_bytes": (1 << 20, 4096, 1 << 24),
    "receive_buffers": (1024, 2, 32768),
    "receive_buffer_bytes": (4096, 64, 1 << 20),
    "sq_entries": (1024, 8, 32768),
    "iowq_workers": (4, 1, 256),
    "max_intakes": (0, 0, INTAKES_MAX),
    "write_path": (WRITE_AUTO, WRITE_AUTO, WRITE_DIRECT),
    "body_timeout_ns": (30 * SECOND, SECOND // 1000, 86400 * SECOND),
    "show_dotfiles": (0, 0, 1),
}


def checked_limits(given):
    """Every limit by name, defaults filled in; ValueError names what is wrong."""
    unknown = set(given) - set(LIMITS)
    if unknown:
        raise ValueError(f"unknown limit: {', '.join(sorted(unknown))}")
    full = {}
    for name, (default, least, most) in LIMITS.items():
        value = given.get(name, default)
        if type(value) is bool or not isinstance(value, int):
            raise ValueError(f"{name}: {value!r} is not a whole number")
        if not least <= value <= most:
            raise ValueError(f"{name}: {value} is not from {least} to {most}")
        full[name] = value
    for name in ("receive_buffers", "sq_entries"):
        if full[name] & (full[name] - 1):
            raise ValueError(f"{name}: {full[name]} is not a power of two")
    return full


cdef void fill_limits(Limits* l, dict n) except *:
    l.max_connections = n["max_connections"]
    l.max_request_line_bytes = n["max_request_line_bytes"]
    l.max_header_bytes = n["max_header_bytes"]
    l.max_headers = n["max_headers"]
    l.max_ranges = n["max_ranges"]
    l.max_body_bytes = n["max_body_bytes"]
    l.idle_timeout_ns = n["idle_timeout_ns"]
    l.header_timeout_ns = n["header_timeout_ns"]
    l.write_timeout_ns = n["write_timeout_ns"]
    l.linger_timeout_ns = n["linger_timeout_ns"]
    l.small_file_bytes = n["small_file_bytes"]
    l.busy_poll_us = n["busy_poll_us"]
    l.transmit = n["transmit"]
    l.cache_entries = n["cache_entries"]
    l.cache_bytes = n["cache_bytes"]
    l.cache_revalidate_ns = n["cache_revalidate_ns"]
    l.pipes = n["pipes"]
    l.pipe_bytes = n["pipe_bytes"]
    l.receive_buffers = n["receive_buffers"]
    l.receive_buffer_bytes = n["receive_buffer_bytes"]
    l.sq_entries = n["sq_entries"]
    l.iowq_workers = n["iowq_workers"]
    l.show_dotfiles = n["show_dotfiles"]
    l.max_intakes = n["max_intakes"]
    l.write_path = n["write_path"]
    l.body_timeout_ns = n["body_timeout_ns"]


cdef int fill_delegates(Delegates* d, paths) except -1:
    for path in paths:
        text = path.encode("ascii")
        if d.n == DELEGATES_MAX or not 2 <= len(text) <= DELEGATE_BYTES_MAX:
            raise ValueError(f"delegates: {path!r} is too long, or one too many")
        memcpy(d.path[d.n], PyBytes_AS_STRING(text), len(text))
        d.path_n[d.n] = len(text)
        d.n += 1
    return 0
