"""Intake: a request that the engine leaves to Python, and its body."""

from intake cimport (
    ASK_NEW, INTAKE_ASKED, INTAKE_COMPLETE, INTAKE_CUT, INTAKE_ENOUGH, INTAKE_FAILED,
    INTAKE_STOPPED, INTAKE_TIMEOUT, ORDER_ANSWER, ORDER_DROP, ORDER_RECEIVE,
    ORDER_STOP, Intake as IntakeSlot, intake_keep_text, intakes_at,
)
from limits cimport MESSAGE_TEXT_BYTES
from mailbox cimport eventfd_signal
from delegating cimport delegating_letters

ENDS = {
    INTAKE_COMPLETE: "complete", INTAKE_ENOUGH: "enough", INTAKE_CUT: "cut",
    INTAKE_TIMEOUT: "timeout", INTAKE_STOPPED: "stopped", INTAKE_FAILED: "failed"}
ANSWER_HEAD_BYTES = 512   # status line, Date and what else the engine writes


def intakes_fd(Engine engine):
    return engine.e.intakes.asks.fd


def intakes_news(Engine engine):
    cdef Letter letter
    found = []
    mailbox_drain_fd(&engine.e.intakes.asks)
    while mailbox_take(&engine.e.intakes.asks, &letter):
        if letter.kind == ASK_NEW:
            found.append((letter.a, Intake(engine, letter.a, letter.b)))
        else:
            found.append((letter.a, None))
    return found


@cython.no_gc_clear  # its end needs the engine
cdef class Intake:
    cdef Engine engine
    cdef IntakeSlot* slot
    cdef uint32_t generation
    cdef bint ours
    cdef bint stopping

    def __cinit__(self, Engine engine, uint32_t index, uint32_t generation):
        self.engine = engine
        self.slot = intakes_at(&engine.e.intakes, index)
        self.generation = generation
        self.ours = True

    def __dealloc__(self):
        if self.slot != NULL and self.ours:
            self.order(ORDER_DROP)

    cdef void order(self, uint32_t kind) noexcept:
        cdef Letter letter
        letter.kind = kind
        letter.a = self.slot.index
        letter.b = self.generation
        mailbox_post(&self.engine.e.intakes.orders, letter)  # void: it has room
        eventfd_signal(self.engine.e.inbox.fd)
        if self.engine.over:  # its thread has ended: all connections are gone
            delegating_letters(self.engine.e)

    @property
    def head(self):
        return self.slot.text[:self.slot.text_n]

    @property
    def client_id(self):
        return self.engine.clients.name_of_row(self.slot.client)

    @property
    def content_length(self):
        return None if self.slot.content_length < 0 else self.slot.content_length

    @property
    def chunked(self):
        return bool(self.slot.chunked)

    @property
    def body_left(self):
        return None if self.slot.body_left < 0 else self.slot.body_left

    @property
    def received(self):
        """Of the last order, once it is done."""
        return self.slot.taken, ENDS[self.slot.end], self.slot.error

    def receive(self, int fd, int64_t offset, int64_t most_bytes, int direct_fd=-1):
        if offset < 0 or most_bytes < 0:
            raise ValueError("offset and most_bytes: not below 0")
        self.slot.fd = fd
        self.slot.direct_fd = direct_fd
        self.slot.offset = offset
        self.slot.left = most_bytes
        self.stopping = False
        self.order(ORDER_RECEIVE)

    def stop(self):
        if not self.stopping:  # there is room for one such letter
            self.stopping = True
            self.order(ORDER_STOP)

    def answer(self, int status, bytes fields, bytes body):
        if len(fields) + len(body) > MESSAGE_TEXT_BYTES - ANSWER_HEAD_BYTES:
            raise ValueError("an answer of so many bytes does not fit")
        if not intake_keep_text(
                self.slot, fields, len(fields), body, len(body)):
            raise MemoryError("answer")
        self.slot.fields_n = len(fields)
        self.slot.status = status
        self.ours = False
        self.order(ORDER_ANSWER)

    def drop(self):
        self.ours = False
        self.order(ORDER_DROP)
