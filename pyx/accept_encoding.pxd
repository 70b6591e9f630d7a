"""Accept-Encoding (RFC 9110 section 12.5.3): which sidecar a client would rather have.

Pure. A field that is not written as the RFC says counts as absent, and then the file
itself is sent: that every client understands.
"""

from libc.stdint cimport uint8_t, uint16_t

from encodings cimport (
    ENCODING_COUNT, ENCODING_IDENTITY, Encodings, encoding_of,
)
from text cimport Text, is_ows, list_skip


cdef enum:
    WEIGHT_WHOLE = 1000   # q=1: weights are counted in thousandths
    WEIGHT_DIGITS = 3
    WEIGHT_INVALID = -1

cdef struct Accepted:
    # By Encoding; 0: refused, or not asked for.
    uint16_t weights[ENCODING_COUNT]

cdef struct Reading:
    Text field
    size_t at
    uint8_t named        # bit per Encoding
    int rest             # the weight of "*", or WEIGHT_INVALID


cdef inline bint is_token_char(char c) noexcept nogil:
    """RFC 9110 section 5.6.2."""
    return (
        c'a' <= c <= c'z' or c'A' <= c <= c'Z' or c'0' <= c <= c'9'
        or c in (
            c'!', c'#', c'$', c'%', c'&', c"'", c'*', c'+', c'-', c'.', c'^', c'_',
            c'`', c'|', c'~'))


cdef inline bint reading_is_at(const Reading* r, char c) noexcept nogil:
    return r.at < r.field.n and r.field.at[r.at] == c


cdef inline void reading_skip_ows(Reading* r) noexcept nogil:
    while r.at < r.field.n and is_ows(r.field.at[r.at]):
        r.at += 1


cdef inline Text reading_token(Reading* r) noexcept nogil:
    """Empty where none begins."""
    cdef Text token
    token.at = r.field.at + r.at
    while r.at < r.field.n and is_token_char(r.field.at[r.at]):
        r.at += 1
    token.n = <size_t>(r.field.at + r.at - token.at)
    return token


cdef inline int reading_qvalue(Reading* r) noexcept nogil:
    """Thousandths: "0" or "1" and at most three decimals, in all not above 1."""
    cdef int weight
    cdef int unit = WEIGHT_WHOLE
    cdef int digits = 0
    if not reading_is_at(r, c'0') and not reading_is_at(r, c'1'):
        return WEIGHT_INVALID
    weight = (r.field.at[r.at] - c'0') * WEIGHT_WHOLE
    r.at += 1
    if reading_is_at(r, c'.'):
        r.at += 1
        while (
                digits < WEIGHT_DIGITS and r.at < r.field.n
                and c'0' <= r.field.at[r.at] <= c'9'):
            unit = unit // 10
            weight += (r.field.at[r.at] - c'0') * unit
            r.at += 1
            digits += 1
    return weight if weight <= WEIGHT_WHOLE else WEIGHT_INVALID


cdef inline int reading_weight(Reading* r) noexcept nogil:
    """``;q=…`` up to the end of the element; without one it is whole."""
    cdef int weight = WEIGHT_WHOLE
    reading_skip_ows(r)
    if reading_is_at(r, c';'):
        r.at += 1
        reading_skip_ows(r)
        if not reading_is_at(r, c'q') and not reading_is_at(r, c'Q'):
            return WEIGHT_INVALID
        r.at += 1
        if not reading_is_at(r, c'='):
            return WEIGHT_INVALID
        r.at += 1
        weight = reading_qvalue(r)
        reading_skip_ows(r)
    if r.at < r.field.n and r.field.at[r.at] != c',':
        return WEIGHT_INVALID
    return weight


cdef inline void accepted_note(
    Accepted* a, Reading* r, Text token, int weight
) noexcept nogil:
    """Of a coding that is named twice the lower weight counts: a refusal holds."""
    cdef uint8_t encoding
    if token.n == 1 and token.at[0] == c'*':
        r.rest = weight if r.rest == WEIGHT_INVALID else min(weight, r.rest)
        return
    encoding = encoding_of(token)
    if encoding == ENCODING_COUNT:
        return
    if r.named & 1 << encoding:
        weight = min(weight, <int>a.weights[encoding])
    a.weights[encoding] = <uint16_t>weight
    r.named |= <uint8_t>(1 << encoding)


cdef inline bint accepted_read(Accepted* a, Reading* r) noexcept nogil:
    """False if the field is malformed."""
    cdef Text token
    cdef int weight
    r.at = list_skip(r.field.at, r.field.n, 0)
    while r.at < r.field.n:
        token = reading_token(r)
        weight = reading_weight(r)
        if token.n == 0 or weight == WEIGHT_INVALID:
            return False
        accepted_note(a, r, token, weight)
        r.at = list_skip(r.field.at, r.field.n, r.at)
    return True


cdef inline void accept_encoding_parse(Text field, Accepted* a) noexcept nogil:
    """What ``field`` accepts: nothing but the file itself if absent or malformed.

    "*" stands for every coding that is not named, identity among them.
    """
    cdef Reading r
    cdef uint8_t encoding
    cdef bint valid
    r.field = field
    r.at = 0
    r.named = 0
    r.rest = WEIGHT_INVALID
    for encoding in range(ENCODING_COUNT):
        a.weights[encoding] = 0
    valid = field.at != NULL and accepted_read(a, &r)
    for encoding in range(ENCODING_COUNT):
        if not valid:
            a.weights[encoding] = 0
        elif not r.named & 1 << encoding and r.rest != WEIGHT_INVALID:
            a.weights[encoding] = <uint16_t>r.rest


cdef inline uint8_t accept_encoding_choose(
    Text field, const Encodings* offered, uint8_t available
) noexcept nogil:
    """The best of ``available`` (a bit for each Encoding), or ENCODING_IDENTITY.

    The highest weight wins, among equals the server's order. The file itself is sent
    where the client gave it more weight than every sidecar that there is, and also
    where nothing acceptable is left: that is never worse than 406.
    """
    cdef Accepted a
    cdef uint8_t i, encoding
    cdef uint8_t best = ENCODING_IDENTITY
    accept_encoding_parse(field, &a)
    for i in range(offered.n):
        encoding = offered.order[i]
        if not available & 1 << encoding or a.weights[encoding] == 0:
            continue
        if a.weights[encoding] > a.weights[best] or (
                best == ENCODING_IDENTITY
                and a.weights[encoding] == a.weights[ENCODING_IDENTITY]):
            best = encoding
    return best
