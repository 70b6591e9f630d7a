"""Engine: one engine's life and counters, seen from Python."""

from libc.stdlib cimport calloc, free

from blocks cimport blocks_used
from c_atomic cimport atomic_add_i64, atomic_load_u32
from c_file cimport F_DUPFD_CLOEXEC, close, fcntl
from conn cimport Conn as EngineConn
from counters cimport FIRST_BYTE_BOUND_NS, FIRST_BYTE_BOUNDS, STATUS_SLOTS
from encodings cimport ENCODING_COUNT, ENCODING_IDENTITY, Encodings, encoding_names
from engine cimport (
    ENGINE_DRAINING, ENGINE_SERVING, ENGINE_STARTING, ENGINE_STOPPED,
    MAIL_ACCEPT_PAUSED, MAIL_ACCEPT_RESUMED, MAIL_DRAINING, MAIL_READY, MAIL_RETIME,
    MAIL_RETIME_ALL, MAIL_STOP, MAIL_STOPPED, Engine as EngineState,
    engine_free, engine_init,
)
from gate cimport gate_free, gate_init
from limiter cimport limiter_of_transfer
from limits cimport (
    BLOCKS_MAX, LISTENERS_MAX, REFUSAL_SLOTS, TARGET_BYTES_MAX, Limits,
)
from loop cimport loop_run
from mailbox cimport Letter, mailbox_drain_fd, mailbox_post, mailbox_take
from mime cimport MediaType
from slab cimport slab_at
from transfer cimport Transfer
from delegating cimport delegating_letters

import errno as errno_names
import os

FIRST_BYTE_BOUNDS_NS = tuple(FIRST_BYTE_BOUND_NS[i] for i in range(FIRST_BYTE_BOUNDS))
TRANSFERS_SHOWN_MAX = 100
REFUSAL_CONNECTIONS = REFUSAL_SLOTS
STATES = {
    ENGINE_STARTING: "starting", ENGINE_SERVING: "serving",
    ENGINE_DRAINING: "draining", ENGINE_STOPPED: "stopped"}
EVENTS = {
    MAIL_READY: "ready", MAIL_ACCEPT_PAUSED: "accept_paused",
    MAIL_ACCEPT_RESUMED: "accept_resumed", MAIL_DRAINING: "draining",
    MAIL_STOPPED: "stopped"}

cdef int fill_encodings(Encodings* e, names) except -1:
    known = {
        encoding_names[i].decode(): i
        for i in range(ENCODING_IDENTITY + 1, ENCODING_COUNT)}
    for name in names:
        if name not in known:
            choice = ", ".join(known)
            raise ValueError(f"precompressed: {name!r} is not one of {choice}")
        e.order[e.n] = known.pop(name)  # each once
        e.n += 1
    return 0


def setup_error(int code):
    """The OSError of a ring that could not be made, with the remedy."""
    remedies = {
        errno_names.EPERM:
            "io_uring is not permitted: set kernel.io_uring_disabled=0 (sysctl), or "
            "allow io_uring_setup, io_uring_enter and io_uring_register in the "
            "seccomp profile (deploy/seccomp)",
        errno_names.ENOSYS: "this kernel has no io_uring: Linux 6.1 or newer is needed",
        errno_names.EINVAL:
            "this kernel's io_uring lacks what the engine needs: Linux 6.1 or newer",
        errno_names.ENOMEM:
            "no memory for the ring: raise the memlock limit (ulimit -l), or lower "
            "limits.sq_entries and limits.receive_buffers",
    }
    return OSError(code, remedies.get(code, os.strerror(code)))


cdef class Engine:
    cdef EngineState* e
    cdef ClientTable clients   # keeps the table alive
    cdef bint started
    cdef bint over             # run has returned, or is about to
    cdef bint ready            # engine_init was begun
    cdef int listeners_wanted

    def __cinit__(
        self, *, int index, int cpu, int root_fd, listen_fds, ClientTable clients,
        media_types, precompressed=(), delegates=(), limits=None,
    ):
        cdef int rc
        full = checked_limits(limits or {})
        if not 1 <= len(listen_fds) <= LISTENERS_MAX:
            raise ValueError(f"listen_fds: 1 to {LISTENERS_MAX} are possible")
        self.e = <EngineState*>calloc(1, sizeof(EngineState))
        if self.e == NULL:
            raise MemoryError("engine")
        self.e.pipes.devnull = -1
        self.e.pipes.scratch.reader = self.e.pipes.scratch.writer = -1
        self.e.root_fd = -1
        self.e.index = index
        self.e.cpu = cpu
        self.clients = clients
        self.e.clients = &clients.table
        fill_limits(&self.e.limits, full)
        fill_encodings(&self.e.limits.encodings, precompressed)
        fill_delegates(&self.e.limits.delegates, delegates)
        self.e.root_fd = self.own(root_fd)
        for fd in listen_fds:
            self.e.listeners[self.e.listeners_n].fd = self.own(fd)
            self.e.listeners_n += 1
        self.fill_media_types(media_types)
        self.ready = True  # from here on there may be something to free
        rc = engine_init(self.e, <uint64_t>secrets.randbits(64))
        if rc == 0:
            rc = gate_init(self.e)
        if rc < 0:
            raise OSError(-rc, f"engine {index}: {os.strerror(-rc)}")
        clients.engines.append(self)
        clients.table.engines_n = len(clients.engines)

    def __dealloc__(self):
        cdef uint32_t i
        if self.e == NULL:
            return
        for i in range(self.e.listeners_n):
            if self.e.listeners[i].fd >= 0:
                close(self.e.listeners[i].fd)
        if self.e.root_fd >= 0:
            close(self.e.root_fd)
        if self.ready:
            gate_free(self.e)
            engine_free(self.e)
        free(self.e.media_types.items)
        free(self.e)

    cdef int own(self, int fd) except -1:
        cdef int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)
        if copy < 0:
            raise OSError(errno_names.EBADF, f"descriptor {fd} can not be duplicated")
        return copy

    cdef int fill_media_types(self, media_types) except -1:
        cdef MediaType* item
        cdef bytes extension, value
        self.e.media_types.items = <MediaType*>calloc(
            max(len(media_types), 1), sizeof(MediaType))
        if self.e.media_types.items == NULL:
            raise MemoryError("media types")
        for name, text in sorted(media_types.items()):  # the order mime.pxd searches
            extension = name.encode("ascii")
            value = text.encode("ascii")
            item = &self.e.media_types.items[self.e.media_types.count]
            if len(extension) >= sizeof(item.extension) or len(value) >= sizeof(
                    item.value):
                raise ValueError(f"media type {name!r}: {text!r} is too long")
            memcpy(item.extension, PyBytes_AS_STRING(extension), len(extension))
            memcpy(item.value, PyBytes_AS_STRING(value), len(value))
            item.extension_n = len(extension)
            item.value_n = len(value)
            self.e.media_types.count += 1
        return 0

    @property
    def event_fd(self):
        return self.e.outbox.fd

    def run(self):
        cdef int rc
        if self.started:
            raise RuntimeError("an engine runs once")
        self.started = True
        with nogil:
            rc = loop_run(self.e)
        self.over = True
        delegating_letters(self.e)
        if self in self.clients.engines:
            self.clients.engines.remove(self)
            atomic_add_i64(
                &self.clients.table.rows[CLIENT_SERVER].bytes_total, self.sent_bytes())
        if rc < 0:
            raise setup_error(-rc)

    def stop(self, drain_ns):
        self.post(MAIL_STOP, 0, max(0, drain_ns))

    cdef void post(self, uint32_t kind, uint32_t a, int64_t b) noexcept:
        """A full mailbox drops the letter and counts it: the engine is far behind."""
        cdef Letter letter
        letter.kind = kind
        letter.a = a
        letter.b = b
        mailbox_post(&self.e.inbox, letter)

    cdef bint looks_before(self, uint32_t version) noexcept:
        """May still look at an identity that ``version`` or an earlier one replaced."""
        return self.started and atomic_load_u32(&self.e.identity_seen) < version

    cdef int64_t sent_bytes(self) noexcept:
        return self.e.counters.bytes_sent

    cdef void retime(self, uint32_t row) noexcept:
        self.post(MAIL_RETIME, row, 0)

    cdef void retime_all(self) noexcept:
        self.post(MAIL_RETIME_ALL, 0, 0)

    def events(self):
        cdef Letter letter
        found = []
        mailbox_drain_fd(&self.e.outbox)
        while mailbox_take(&self.e.outbox, &letter):
            found.append((EVENTS[letter.kind], letter.b))
        return found

    def transfers(self, client_id, int most=TRANSFERS_SHOWN_MAX):
        """Read while they go on: each line is true by itself, and a moment old."""
        cdef uint32_t row, i
        cdef EngineConn* c
        cdef Transfer* t
        found = []
        number = self.clients.number_of(client_id)
        if number is None:
            return found
        row = number
        for i in range(self.e.conns.fresh):
            c = <EngineConn*>slab_at(&self.e.conns, i)
            t = c.transfer
            if t != NULL and t.client == row:
                found.append(TransferRow(
                    self.e.index, t.status, t.total_bytes, t.moved_bytes,
                    LIMITERS[limiter_of_transfer(
                        &self.clients.table, row, t.state)]))
                if len(found) == most:
                    break
        return found

    def statistics(self):
        cdef EngineState* e = self.e
        return {
            "index": e.index,
            "cpu": e.cpu,
            "state": STATES[e.state],
            **self.connection_statistics(),
            **self.transfer_statistics(),
            **self.resource_statistics(),
        }

    cdef dict connection_statistics(self):
        cdef EngineState* e = self.e
        return {
            "connections": e.conns.used,
            "connections_limit": e.limits.max_connections,
            "connections_accepted_total": e.counters.accepted,
            "connections_refused_total": e.counters.refused,
            "accept_errors_total": e.counters.accept_errors,
            "requests_total": e.counters.requests,
            "requests_reused_total": e.counters.requests_reused,
            "requests_in_progress": e.requests.used + e.transfers.used,
            "responses_total": {
                status: e.counters.responses[status]
                for status in range(STATUS_SLOTS) if e.counters.responses[status]},
            "encoded_total": {
                encoding_names[i].decode(): e.counters.encoded[i]
                for i in range(ENCODING_IDENTITY + 1, ENCODING_COUNT)},
            "parse_errors_total": e.counters.parse_errors,
            "forwarded_ignored_total": e.counters.forwarded_ignored,
            "timeouts_idle_total": e.counters.timeouts_idle,
            "timeouts_header_total": e.counters.timeouts_header,
            "timeouts_write_total": e.counters.timeouts_write,
            "timeouts_body_total": e.counters.timeouts_body,
            "intakes": e.intakes.slab.used,
            "bytes_received_total": e.counters.bytes_received,
            "bytes_past_cache_total": e.counters.bytes_past_cache,
            "blocks": blocks_used(&e.blocks),
            "blocks_limit": BLOCKS_MAX,
        }

    cdef dict transfer_statistics(self):
        cdef EngineState* e = self.e
        return {
            "transfers": e.transfers.used,
            "transfers_parked": e.counters.parked,
            "bytes_sent_total": e.counters.bytes_sent,
            "bytes_spliced_total": e.counters.bytes_spliced,
            "zerocopy_sends_total": e.counters.zerocopy,
            "reads_cold_total": e.counters.reads_cold,
            "reads_ahead_total": e.counters.reads_ahead,
            "grants_total": e.counters.grants,
            "grants_early_total": e.counters.grants_early,
            "parks_total": e.counters.parks,
            "sensed_total": e.counters.sensed,
            "sensing_seconds_total": e.counters.sensing_ns / 1e9,
            "first_byte_counts": [
                e.counters.first_byte[i] for i in range(FIRST_BYTE_BOUNDS + 1)],
            "first_byte_sum_ns": e.counters.first_byte_sum_ns,
        }

    cdef dict resource_statistics(self):
        cdef EngineState* e = self.e
        return {
            "pipes": e.pipes.used,
            "pipes_limit": e.limits.pipes,
            "receive_buffers": e.counters.pending,
            "receive_buffers_limit": e.limits.receive_buffers,
            "pending_bytes": e.counters.pending_bytes,
            "pending_cut_total": e.counters.pending_cut,
            "sqes_in_flight": e.ring.in_flight,
            "cache_entries": e.files.entries,
            "cache_bytes": e.files.bytes,
            "cache_hits_total": e.files.hits_total,
            "cache_misses_total": e.files.misses_total,
            "cache_evictions_total": e.files.evictions_total,
            "sidecars_stale_total": e.counters.sidecars_stale,
            "loops_total": e.counters.loops,
            "cqes_total": e.counters.cqes,
            "cq_overflows_total": e.counters.cq_overflows,
            "letters_dropped_total": e.inbox.dropped + e.outbox.dropped,
        }
