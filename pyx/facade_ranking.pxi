"""ClientRanking: the clients that were sent the most, and all others as one, as text
for Prometheus."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free as ranking_free_text, malloc as ranking_text
from libc.string cimport memset

from addresstext cimport ADDRESS_TEXT_BYTES, address_write
from c_atomic cimport atomic_load_u32
from c_time cimport clock_monotonic_ns
from clientmetrics cimport CLIENT_METRIC_NAMES, METRICS_COUNT, client_metric
from clients cimport (
    CLIENT_FIRST, CLIENT_OVERFLOW, LIMITER_NONE, LIMITER_PEER, SOURCE_DEFAULT,
    client_kind,
)
from exposition cimport NUMBER_BYTES, label_write, number_write
from keymap cimport KEY_ADDRESS
from limiter cimport LIMITER_COUNT, LIMITER_NAMES
from limits cimport CLIENT_ID_BYTES_MAX
from mapping cimport mapping_free, mapping_new
from ranking cimport (
    Ranking, ranking_admits, ranking_free, ranking_init, ranking_is_full,
    ranking_next_place, ranking_put,
)
from window cimport window_jitter
from writer cimport (
    Writer, writer_bytes, writer_count, writer_init, writer_string,
)

from penstock.ranking import ClientSums

CLIENT_METRICS = tuple(CLIENT_METRIC_NAMES[i].decode() for i in range(METRICS_COUNT))

cdef enum:
    # client_id="…", where each byte may be escaped; an address is shorter.
    LABEL_BYTES = 2 * CLIENT_ID_BYTES_MAX + 12
    # Of a line, beside the metric's name: label, number, and what stands around them,
    # another label included.
    LINE_BYTES = LABEL_BYTES + NUMBER_BYTES + 32
    # Beside the metrics: lines that not every client has, or that have another label.
    LINES_LIMITED_BY = METRICS_COUNT
    LINES_JITTER = METRICS_COUNT + 1

cdef struct Label:
    char text[LABEL_BYTES]
    uint8_t n             # 0: it is left out


cdef struct RowSums:
    uint32_t clients
    double numbers[METRICS_COUNT]
    uint32_t limited_by[LIMITER_COUNT]
    double jitter         # the worst, negative: nobody has any


cdef void sum_row(RowSums* sums, const RowCopy* copy, int64_t now) noexcept nogil:
    cdef int metric
    sums.clients += 1
    for metric in range(METRICS_COUNT):
        sums.numbers[metric] += client_metric(&copy.client, &copy.terms, metric, now)
    sums.limited_by[copy.limited_by] += 1
    sums.jitter = max(sums.jitter, window_jitter(&copy.client.window, now))


cdef void put_label(Label* into, const RowCopy* copy) noexcept nogil:
    """The client's name is as ``name_of`` says."""
    cdef char text[ADDRESS_TEXT_BYTES]
    cdef Writer written
    cdef Writer* w = &written
    writer_init(w, into.text, LABEL_BYTES)
    writer_string(w, b'client_id="')
    if copy.row == CLIENT_OVERFLOW:
        writer_string(w, b"(overflow)")
    elif client_kind(&copy.client) == KEY_ADDRESS:
        writer_bytes(w, text, address_write(copy.client.key, text))
    else:
        label_write(w, copy.id, copy.client.id_n)
    writer_string(w, b'"')
    into.n = <uint8_t>writer_count(w)


cdef class ClientRanking:
    """One walk over the rows, some at a time; see ``penstock.ranking``."""
    cdef RowTable clients     # keeps the memory of the rows
    cdef Ranking ranking
    cdef RowCopy* copies      # of those who are in the ranking, by place
    cdef Label* labels        # likewise, after the walk
    cdef RowSums sums         # of all others
    cdef double worst         # jitter of those whom penstock holds back
    cdef uint32_t row         # that is looked at next
    cdef uint32_t end
    cdef bint walked
    cdef int64_t now_ns
    cdef int64_t recycled     # rows, when the walk began

    def __cinit__(self, RowTable clients, uint32_t most):
        self.clients = clients
        self.row = CLIENT_OVERFLOW if clients.overflow_total else CLIENT_FIRST
        self.end = atomic_load_u32(&clients.table.used)
        self.now_ns = clock_monotonic_ns()
        self.sums.jitter = self.worst = -1
        self.recycled = clients.table.recycled_total
        most = min(most, self.end)
        self.copies = <RowCopy*>mapping_new(sizeof(RowCopy) * max(most, 1))
        self.labels = <Label*>mapping_new(sizeof(Label) * max(most, 1))
        if (ranking_init(&self.ranking, most) < 0 or self.copies == NULL
                or self.labels == NULL):
            raise MemoryError("no memory for a ranking of clients")

    def __dealloc__(self):
        mapping_free(self.copies, sizeof(RowCopy) * max(self.ranking.most, 1))
        mapping_free(self.labels, sizeof(Label) * max(self.ranking.most, 1))
        ranking_free(&self.ranking)

    def look(self, uint32_t rows):
        cdef uint32_t end = min(self.end, self.row + rows)
        with nogil:
            while self.row < end:
                self.place_row(self.row)
                self.row += 1
        if self.row < self.end:
            return True
        if self.walked:
            return False
        self.walked = True
        self.put_labels()
        if self.clients.table.recycled_total != self.recycled:
            self.drop_doubles()
        return False

    cdef void place_row(self, uint32_t row) noexcept nogil:
        cdef RowCopy copy
        cdef uint64_t precedence
        cdef uint32_t place
        self.clients.take_copy(row, &copy)
        if copy.limited_by != LIMITER_NONE and copy.limited_by != LIMITER_PEER:
            self.worst = max(
                self.worst, window_jitter(&copy.client.window, self.now_ns))
        # Among equals those with a limit of their own, then those who came first.
        precedence = <uint64_t>(copy.client.source != SOURCE_DEFAULT) << 32
        precedence |= <uint32_t>~row
        if not ranking_admits(&self.ranking, copy.client.bytes_total, precedence):
            sum_row(&self.sums, &copy, self.now_ns)
            return
        place = ranking_next_place(&self.ranking)
        if ranking_is_full(&self.ranking):
            sum_row(&self.sums, &self.copies[place], self.now_ns)
        self.copies[place] = copy
        ranking_put(&self.ranking, copy.client.bytes_total, precedence)

    cdef void put_labels(self) noexcept nogil:
        cdef uint32_t place
        for place in range(self.ranking.n):
            put_label(&self.labels[place], &self.copies[place])

    cdef drop_doubles(self):
        """A client that lost its row meanwhile and came back has two: what it had in
        the first one belongs to the others then."""
        cdef uint32_t place
        cdef dict places = {}
        in_order = sorted(
            [(self.copies[place].row, place) for place in range(self.ranking.n)])
        for _, place in in_order:
            name = name_of(&self.copies[place])
            if name in places:
                self.leave_out(places[name])
            places[name] = place

    cdef void leave_out(self, uint32_t place) noexcept:
        sum_row(&self.sums, &self.copies[place], self.now_ns)
        self.labels[place].n = 0

    @property
    def kept(self):
        return self.ranking.n

    def series(self, name, metric, uint32_t first, uint32_t rows):
        cdef int of = CLIENT_METRICS.index(metric)
        return self.lines(name.encode(), of, first, rows)

    def series_limited_by(self, name, uint32_t first, uint32_t rows):
        return self.lines(name.encode(), LINES_LIMITED_BY, first, rows)

    def series_jitter(self, name, uint32_t first, uint32_t rows):
        return self.lines(name.encode(), LINES_JITTER, first, rows)

    @property
    def worst_jitter(self):
        return None if self.worst < 0 else self.worst

    cdef bytes lines(self, bytes name, int metric, uint32_t first, uint32_t rows):
        cdef uint32_t end = min(first + rows, self.ranking.n)
        cdef uint32_t lines = max(end, first) - first
        cdef size_t n_bytes = lines * (<size_t>len(name) + LINE_BYTES)
        cdef const char* text = PyBytes_AS_STRING(name)
        cdef Writer w
        cdef char* memory = <char*>ranking_text(max(n_bytes, 1))
        if memory == NULL:
            raise MemoryError("no memory for the series of clients")
        writer_init(&w, memory, n_bytes)
        with nogil:
            while first < end:
                self.write_line(&w, text, metric, first)
                first += 1
        found = memory[:writer_count(&w)]
        ranking_free_text(memory)
        return found

    cdef void write_line(
        self, Writer* w, const char* name, int metric, uint32_t place
    ) noexcept nogil:
        cdef const RowCopy* copy = &self.copies[place]
        cdef const Label* label = &self.labels[place]
        cdef double number
        if label.n == 0:
            return
        number = self.number(copy, metric)
        if metric == LINES_JITTER and number < 0:
            return
        writer_string(w, name)
        writer_bytes(w, b"{", 1)
        writer_bytes(w, label.text, label.n)
        if metric == LINES_LIMITED_BY:
            writer_string(w, b',limited_by="')
            writer_string(w, LIMITER_NAMES[copy.limited_by])
            writer_string(w, b'"} 1.0\n')
            return
        writer_string(w, b"} ")
        number_write(w, number)
        writer_bytes(w, b"\n", 1)

    cdef double number(self, const RowCopy* copy, int metric) noexcept nogil:
        if metric == LINES_LIMITED_BY:
            return 1
        if metric == LINES_JITTER:
            return window_jitter(&copy.client.window, self.now_ns)
        return client_metric(&copy.client, &copy.terms, metric, self.now_ns)

    def best(self):
        """What each metric adds up to."""
        cdef RowSums sums
        cdef uint32_t i
        memset(&sums, 0, sizeof(RowSums))
        sums.jitter = -1
        for i in range(self.ranking.n):
            if self.labels[i].n:
                sum_row(&sums, &self.copies[i], self.now_ns)
        return shown_sums(&sums)

    def others(self):
        return shown_sums(&self.sums)


cdef shown_sums(const RowSums* s):
    return ClientSums(
        s.clients,
        {name: s.numbers[i] for i, name in enumerate(CLIENT_METRICS)},
        {LIMITERS[i]: s.limited_by[i]
         for i in range(LIMITER_COUNT) if s.limited_by[i]},
        None if s.jitter < 0 else s.jitter)
