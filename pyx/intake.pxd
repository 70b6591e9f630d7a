"""Intake: a request that Python answers, and whose body goes into a file.

It belongs in turn to Python (ASKED: what shall become of it?) and to its engine, and
whoever has it is the only one to touch it: letters hand it over, through the locks of
two mailboxes that hold one for every intake, so that none is ever lost. Its connection
may go at any time; the intake stays until Python lets go of it.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from c_assert cimport ENGINE_ASSERT
from limits cimport INTAKE_BUFFER_BYTES
from mailbox cimport Letter, Mailbox, mailbox_free, mailbox_init, mailbox_post
from slab cimport (
    Slab, slab_at, slab_free, slab_generation, slab_init, slab_live, slab_release,
    slab_take,
)


cdef enum IntakeState:
    INTAKE_ASKED       # Python has it
    INTAKE_READY       # the engine has it, and may go on
    INTAKE_RECEIVING   # a RECV into its buffer is in flight
    INTAKE_WRITING     # a WRITE of its buffer is in flight

cdef enum IntakeEnd:
    INTAKE_GOES_ON
    INTAKE_COMPLETE    # the message has no more
    INTAKE_ENOUGH      # all that was asked for came; the message goes on
    INTAKE_CUT         # the peer left
    INTAKE_TIMEOUT     # it brought nothing for too long
    INTAKE_STOPPED     # Python wished so
    INTAKE_FAILED      # ``error`` says why

cdef enum IntakeOrder:
    ORDER_RECEIVE = 1  # Python's letters; a: index
    ORDER_ANSWER
    ORDER_DROP
    ORDER_STOP         # also while the engine has it; b: generation
    ASK_NEW = 16       # the engine's
    ASK_DONE

cdef struct Intake:
    void* conn             # conn.pxd; NULL: it is gone
    uint32_t index
    uint32_t generation
    uint8_t state
    uint8_t end            # of the last order
    uint8_t chunked
    uint8_t expects        # waits for 100 Continue
    uint8_t http_1_0
    uint8_t stopping       # Python does not want more of this order
    uint8_t late           # the deadline passed
    uint8_t unwanted       # Python let go of it while the engine had it
    int error              # errno; EBADMSG: the body's framing is broken
    uint32_t client        # row, held
    int64_t content_length # -1: none
    int64_t body_left      # of the message; -1: only its end will tell
    # The order: into which file, from where on, and how much.
    int fd
    int direct_fd          # of the same file, with O_DIRECT; -1: none
    int64_t offset
    int64_t left           # that may still be received
    int64_t taken          # that is in the file
    char* buffer           # its own, or a block
    char* own              # meanwhile; NULL: it is the buffer
    uint32_t buffer_bytes
    uint32_t buffer_n      # received, not written
    uint8_t block          # the buffer is one of the pool
    uint8_t past_cache     # as what is being written goes
    uint8_t drained        # a RECV into it found less than it asked for
    uint32_t asked
    int pipe               # of the pool, while something is in it; -1: none
    int64_t piped          # bytes in it
    int lowat              # of the socket, as it was told; 0: not told
    int lowat_most
    uint32_t step          # bytes that are awaited at a time (intakewait)
    int64_t waits_since_ns # for the step
    int64_t brought_ns     # when it was last waited for anew
    uint8_t polls          # what is or was in flight is a POLL, not a RECV
    # The head for Python, then its answer.
    char* text
    uint32_t text_n
    uint32_t fields_n      # of the answer: at the beginning of the text; a body follows
    uint32_t status

cdef struct Intakes:
    Slab slab
    Mailbox asks           # engine -> Python
    Mailbox orders         # Python -> engine


cdef inline uint32_t intakes_letters(uint32_t capacity) noexcept nogil:
    """An order and a wish to stop of each, and those of the order before that have not
    been looked at; a power of two."""
    cdef uint32_t n = 16
    while n < 4 * capacity:
        n *= 2
    return n


cdef inline int intakes_init(Intakes* s, uint32_t capacity) noexcept nogil:
    cdef int rc
    memset(s, 0, sizeof(Intakes))
    if capacity == 0:
        return 0
    rc = slab_init(&s.slab, capacity, sizeof(Intake))
    if rc == 0:
        rc = mailbox_init(&s.asks, intakes_letters(capacity))
    if rc == 0:
        rc = mailbox_init(&s.orders, intakes_letters(capacity))
    return rc


cdef inline Intake* intakes_at(Intakes* s, uint32_t index) noexcept nogil:
    return <Intake*>slab_at(&s.slab, index)


cdef inline Intake* intakes_live(
    Intakes* s, uint32_t index, uint32_t generation
) noexcept nogil:
    """NULL: it was let go of."""
    if not slab_live(&s.slab, index, generation):
        return NULL
    return intakes_at(s, index)


cdef inline Intake* intakes_take(Intakes* s) noexcept nogil:
    """Zeroed, or NULL when all are taken."""
    cdef int64_t index
    cdef Intake* i
    if s.slab.capacity == 0:
        return NULL
    index = slab_take(&s.slab)
    if index < 0:
        return NULL
    i = intakes_at(s, <uint32_t>index)
    i.index = <uint32_t>index
    i.pipe = i.direct_fd = -1
    i.generation = slab_generation(&s.slab, i.index)
    return i


cdef inline void intake_forget(Intake* i) noexcept nogil:
    ENGINE_ASSERT(not i.block)
    free(i.text)
    free(i.buffer)
    i.text = i.buffer = NULL


cdef inline void intakes_release(Intakes* s, Intake* i) noexcept nogil:
    intake_forget(i)
    slab_release(&s.slab, i.index)


cdef inline void intakes_free(Intakes* s) noexcept nogil:
    """Also of those that Python never let go of."""
    cdef uint32_t i
    for i in range(s.slab.fresh):
        if slab_live(&s.slab, i, slab_generation(&s.slab, i)):
            intake_forget(intakes_at(s, i))
    slab_free(&s.slab)
    mailbox_free(&s.asks)
    mailbox_free(&s.orders)


cdef inline void intake_hand_over(
    Intakes* s, Intake* i, uint32_t kind
) noexcept nogil:
    """To Python. There is room for a letter of each."""
    cdef Letter letter
    i.state = INTAKE_ASKED
    letter.kind = kind
    letter.a = i.index
    letter.b = i.generation
    mailbox_post(&s.asks, letter)  # void: it has room


cdef inline bint intake_keep_text(
    Intake* i, const char* first, size_t first_n, const char* rest, size_t rest_n
) noexcept nogil:
    """A request's head or an answer; false without memory."""
    free(i.text)
    i.text = <char*>malloc(first_n + rest_n + 1)
    if i.text == NULL:
        return False
    memcpy(i.text, first, first_n)
    memcpy(i.text + first_n, rest, rest_n)
    i.text_n = <uint32_t>(first_n + rest_n)
    return True


cdef inline bint intake_make_buffer(Intake* i) noexcept nogil:
    if i.buffer == NULL:
        i.buffer = <char*>malloc(INTAKE_BUFFER_BYTES)
        i.buffer_bytes = INTAKE_BUFFER_BYTES
    return i.buffer != NULL


cdef inline uint32_t intake_room(const Intake* i) noexcept nogil:
    """Bytes of the body that the buffer may still take."""
    cdef int64_t n = min(<int64_t>i.buffer_bytes, i.left) - i.buffer_n
    if i.body_left >= 0:
        n = min(n, i.body_left)
    return <uint32_t>max(n, 0)


cdef inline void intake_took(Intake* i, int64_t n) noexcept nogil:
    """``n`` bytes of the body came into the buffer."""
    i.buffer_n += <uint32_t>n
    if i.body_left >= 0:
        i.body_left -= n


cdef inline void intake_end(Intake* i, uint8_t end, int error) noexcept nogil:
    """The first reason counts."""
    if i.end == INTAKE_GOES_ON:
        i.end = end
        i.error = error


cdef inline void intake_wrote(Intake* i, int64_t n) noexcept nogil:
    """The first ``n`` bytes of the buffer are in the file. What a short write left goes
    to the front, which is rare."""
    i.taken += n
    i.left -= n
    i.buffer_n -= <uint32_t>n
    if i.buffer_n:
        memmove(i.buffer, i.buffer + n, i.buffer_n)
