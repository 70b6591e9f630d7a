# Wrapper of Accept-Encoding; the field lies in memory of its exact size.

from libc.stdint cimport uint8_t

from accept_encoding cimport accept_encoding_choose
from encodings cimport ENCODING_COUNT, Encodings, encoding_names, encodings_end


cdef uint8_t encoding_number(name) except? 255:
    cdef int i
    for i in range(ENCODING_COUNT):
        if encoding_names[i].decode() == name:
            return i
    raise ValueError(name)


cdef Encodings encodings_named(names) except *:
    cdef Encodings e
    e.n = 0
    for name in names:
        e.order[e.n] = encoding_number(name)
        e.n += 1
    return e


def encoding_chosen(field, offered, available=None):
    """The name of the chosen encoding; ``available`` defaults to all that are offered.
    None: the field is absent."""
    cdef Exact memory = optional(field)
    cdef Encodings e = encodings_named(offered)
    cdef uint8_t bits = 0
    for name in offered if available is None else available:
        bits |= 1 << encoding_number(name)
    return encoding_names[
        accept_encoding_choose(text_of(memory), &e, bits)].decode()


def ends_like_a_sidecar(bytes path, offered):
    cdef Exact memory = exact(path)
    cdef Encodings e = encodings_named(offered)
    return bool(encodings_end(&e, memory.at, memory.n))
