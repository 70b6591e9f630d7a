"""Exposition: labels and numbers in the text that Prometheus reads.

Numbers are written as prometheus-client writes them, so that it does not matter who
wrote a line: the fewest digits that are read as the same double, with an exponent from
a million on.
"""

from libc.math cimport INFINITY, floor, isnan
from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport atoi, strtod
from libc.string cimport memcpy, strchr

from writer cimport (
    Writer, writer_bytes, writer_count, writer_init, writer_string, writer_u64,
)


cdef enum:
    # The longest is as 1.7976931348623157e+308; "%.16e" of it has no more.
    NUMBER_BYTES = 32
    # So many decimal digits a double always keeps, and so many are always enough.
    NUMBER_DIGITS_KEPT = 15
    NUMBER_DIGITS_ENOUGH = 17
    NUMBER_EXPONENT_LEAST = -4   # below it Python writes one, too
    NUMBER_EXPONENT_MOST = 5     # Go's; Python's is 15

cdef extern from *:
    """
    #define NUMBER_INTEGER_MAX 1e15   /* has NUMBER_DIGITS_KEPT digits below it */
    """
    const double NUMBER_INTEGER_MAX

cdef struct Digits:
    # 0.ddd times ten to the (exponent + 1); the last one is not 0, unless it is alone.
    char text[NUMBER_BYTES]
    size_t n
    int exponent


cdef inline void label_write(Writer* w, const char* value, size_t n) noexcept nogil:
    """The value of a label, as it stands between the quotes."""
    cdef size_t i
    for i in range(n):
        if value[i] == c"\n":
            writer_bytes(w, b"\\n", 2)
            continue
        if value[i] == c"\\" or value[i] == c'"':
            writer_bytes(w, b"\\", 1)
        writer_bytes(w, &value[i], 1)


cdef inline void digits_of_integer(Digits* d, uint64_t value) noexcept nogil:
    cdef Writer w
    writer_init(&w, d.text, NUMBER_BYTES)
    writer_u64(&w, value)
    d.n = writer_count(&w)
    d.exponent = <int>d.n - 1


cdef inline void digits_of_double(Digits* d, double value) noexcept nogil:
    """The fewest that are read as ``value`` again; of a power of two maybe one more."""
    cdef char text[NUMBER_BYTES]
    cdef const char* e
    cdef int wanted
    for wanted in range(NUMBER_DIGITS_KEPT, NUMBER_DIGITS_ENOUGH + 1):
        snprintf(text, NUMBER_BYTES, b"%.*e", wanted - 1, value)
        if strtod(text, NULL) == value:
            break
    e = strchr(text, c"e")
    d.text[0] = text[0]
    d.n = <size_t>(e - text) - 1          # without the point
    memcpy(d.text + 1, text + 2, d.n - 1)
    d.exponent = atoi(e + 1)


cdef inline void digits_write_exponent(Writer* w, const Digits* d) noexcept nogil:
    """As 1.25e+07."""
    cdef int size = d.exponent if d.exponent > 0 else -d.exponent
    writer_bytes(w, d.text, 1)
    if d.n > 1:
        writer_bytes(w, b".", 1)
        writer_bytes(w, d.text + 1, d.n - 1)
    writer_string(w, b"e+" if d.exponent > 0 else b"e-")
    if size < 10:
        writer_bytes(w, b"0", 1)
    writer_u64(w, <uint64_t>size)


cdef inline void digits_write_plain(Writer* w, const Digits* d) noexcept nogil:
    """As 1200.0 or 0.0012."""
    cdef int at
    cdef int first = min(d.exponent, 0)
    cdef int last = max(<int>d.n - 1, d.exponent + 1)   # one after the point at least
    for at in range(first, last + 1):
        if at == d.exponent + 1:
            writer_bytes(w, b".", 1)
        if 0 <= at < <int>d.n:
            writer_bytes(w, &d.text[at], 1)
        else:
            writer_bytes(w, b"0", 1)


cdef inline void number_write(Writer* w, double value) noexcept nogil:
    """``value`` is neither negative nor subnormal."""
    cdef Digits d
    if isnan(value):
        writer_string(w, b"NaN")
        return
    if value == INFINITY:
        writer_string(w, b"+Inf")
        return
    if value < NUMBER_INTEGER_MAX and value == floor(value):
        digits_of_integer(&d, <uint64_t>value)
    else:
        digits_of_double(&d, value)
    while d.n > 1 and d.text[d.n - 1] == c"0":
        d.n -= 1
    if NUMBER_EXPONENT_LEAST <= d.exponent <= NUMBER_EXPONENT_MOST:
        digits_write_plain(w, &d)
    else:
        digits_write_exponent(w, &d)
