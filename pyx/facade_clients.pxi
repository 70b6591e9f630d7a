"""ClientTable: the client table and its limits, seen from Python."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bucket cimport RATE_MAX_BPS, bucket_fill_bytes, bucket_set_rate
from c_atomic cimport atomic_load_i64, atomic_load_u32, atomic_store_i64
from c_pthread cimport pthread_mutex_lock, pthread_mutex_unlock
from c_time cimport clock_monotonic_ns
from clients cimport (
    CLIENT_FIRST, CLIENT_OVERFLOW, CLIENT_SERVER, SOURCE_API, SOURCE_DEFAULT,
    SOURCE_FILE, Client, Clients, clients_add, clients_at, clients_free, clients_init,
    key_from_v4, key_from_v6,
)
from keymap cimport (
    KEY_ADDRESS, KEY_NAME, KEY_TOKEN, KEYMAP_NO_ROW, Key, key_zero, keymap_find,
    keymap_set,
)
from limits cimport CLIENT_ID_BYTES_MAX
from window cimport window_mean_bps

import ipaddress
import secrets
from hashlib import sha256
from typing import NamedTuple

UNLIMITED = 0
MAX_RATE_BPS = RATE_MAX_BPS
MAX_CLIENT_ID_BYTES = CLIENT_ID_BYTES_MAX
CLIENT_ROWS_MAX = 1 << 22
SOURCES = {SOURCE_DEFAULT: "default", SOURCE_FILE: "file", SOURCE_API: "api"}
OVERFLOW_ID = "(overflow)"


class ClientRow(NamedTuple):
    client_id: str
    target_bps: int
    source: str
    bytes_total: int
    requests_total: int
    connections: int
    transfers: int
    parked: int
    fill_bytes: int
    mean_bps: int
    last_active_ns: int


def checked_rate(object rate, str what, bint unlimited_allowed):
    """``rate`` as bytes per second, or ValueError that names ``what``."""
    lowest = 0 if unlimited_allowed else 1
    if type(rate) is not int or not lowest <= rate <= RATE_MAX_BPS:
        raise ValueError(
            f"{what}: {rate!r} is not a whole number of bytes per second "
            f"from {lowest} to {RATE_MAX_BPS}")
    return rate


def checked_id(object client_id):
    """``client_id`` as UTF-8, or ValueError."""
    if type(client_id) is not str:
        raise ValueError(f"client_id: {client_id!r} is not a string")
    raw = client_id.encode("utf-8")
    if not 0 < len(raw) <= CLIENT_ID_BYTES_MAX:
        raise ValueError(
            f"client_id: 1 to {CLIENT_ID_BYTES_MAX} bytes of UTF-8 are possible, "
            f"{client_id[:80]!r} has {len(raw)}")
    if not client_id.isprintable():
        raise ValueError(f"client_id: {client_id!r} has unprintable characters")
    return raw


def parsed_address(str client_id):
    """The packed address that ``client_id`` spells (``192.0.2.7``, ``2001:db8::/64``
    or an IPv6 address, which stands for its /64), or None."""
    try:
        return ipaddress.ip_address(client_id).packed
    except ValueError:
        pass
    try:
        network = ipaddress.IPv6Network(client_id, strict=False)
    except ValueError:
        return None
    return network.network_address.packed if network.prefixlen == 64 else None


def printed_address(bytes packed):
    """The inverse for the 16 bytes of a row's key."""
    address = ipaddress.IPv6Address(packed)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{address}/64"


cdef void key_of_name(Key* key, bytes raw, bytes packed) noexcept:
    """An address names the same row as the connections that come from it."""
    cdef bytes digest
    if packed is not None and len(packed) == 4:
        key_from_v4(key, PyBytes_AS_STRING(packed))
        return
    if packed is not None:
        key_from_v6(key, <const uint8_t*>PyBytes_AS_STRING(packed))
        return
    digest = sha256(raw).digest()
    key_zero(key, KEY_NAME)
    memcpy(key.bytes, PyBytes_AS_STRING(digest), 32)


cdef class ClientTable:
    cdef Clients table
    cdef list engines          # to be told of changed limits
    cdef dict tokens           # digest -> client id, as configured last
    cdef readonly int version

    def __cinit__(
        self, *, int rows=65536, default_rate_bps=0, total_rate_bps=0
    ):
        cdef int rc
        if not 1 <= rows <= CLIENT_ROWS_MAX:
            raise ValueError(f"rows: 1 to {CLIENT_ROWS_MAX} are possible, not {rows}")
        checked_rate(default_rate_bps, "default_rate_bps", True)
        checked_rate(total_rate_bps, "total_rate_bps", True)
        self.engines = []
        self.tokens = {}
        self.version = 1
        rc = clients_init(
            &self.table, rows, default_rate_bps, total_rate_bps,
            <uint64_t>secrets.randbits(64), clock_monotonic_ns())
        if rc < 0:
            raise MemoryError("the client table could not be mapped")

    def __dealloc__(self):
        clients_free(&self.table)

    @property
    def row_limit(self):
        return self.table.capacity - CLIENT_FIRST

    @property
    def rows_used(self):
        return atomic_load_u32(&self.table.used) - CLIENT_FIRST

    @property
    def overflow_total(self):
        return atomic_load_i64(&self.table.overflow_total)

    def default_rate_bps(self):
        return atomic_load_i64(&self.table.default_rate_bps)

    def total_rate_bps(self):
        return atomic_load_i64(&self.table.rows[CLIENT_SERVER].bucket.rate_bps)

    cdef int64_t row_of(self, str client_id, bytes raw) except -2:
        """The row, made if need be; -1 when the table is full."""
        cdef Key key
        cdef int64_t row
        cdef bytes packed = parsed_address(client_id)
        cdef Client* client
        key_of_name(&key, raw, packed)
        pthread_mutex_lock(&self.table.mutex)
        row = keymap_find(&self.table.keys, &key)
        if row == KEYMAP_NO_ROW:
            row = clients_add(
                &self.table, &key, SOURCE_DEFAULT, self.table.default_rate_bps,
                clock_monotonic_ns())
            if row >= 0:
                client = clients_at(&self.table, <uint32_t>row)
                client.id_n = len(raw)
                memcpy(client.id, PyBytes_AS_STRING(raw), len(raw))
        pthread_mutex_unlock(&self.table.mutex)
        return row if row >= 0 else -1

    cdef void put_rate(self, uint32_t row, int64_t rate_bps, uint8_t source) noexcept:
        cdef Client* client = clients_at(&self.table, row)
        client.source = source
        bucket_set_rate(&client.bucket, rate_bps, clock_monotonic_ns())

    def set_rate(self, client_id, rate_bps):
        cdef bytes raw = checked_id(client_id)
        cdef int64_t row
        checked_rate(rate_bps, "target_bps", False)
        row = self.row_of(client_id, raw)
        if row < 0:
            raise OverflowError(f"the client table is full ({self.row_limit} rows)")
        self.put_rate(<uint32_t>row, rate_bps, SOURCE_API)
        self.version += 1
        for engine in self.engines:
            (<Engine>engine).retime(<uint32_t>row)
        return self.version

    def configure(self, *, default_rate_bps, total_rate_bps, clients):
        checked_rate(default_rate_bps, "default_rate_bps", True)
        checked_rate(total_rate_bps, "total_rate_bps", True)
        wanted = [self.checked_client(*client) for client in clients]
        new_rows = sum(1 for c in wanted if not self.knows(c[0], c[1]))
        if self.rows_used + new_rows > self.row_limit:
            raise OverflowError(
                f"{new_rows} more clients do not fit: {self.rows_used} of "
                f"{self.row_limit} rows are in use")
        self.apply_defaults(default_rate_bps, total_rate_bps)
        listed = {
            self.apply_client(client_id, raw, rate)
            for client_id, raw, rate, _ in wanted}
        self.apply_default_rate(listed)
        self.apply_tokens(wanted)
        self.version += 1
        for engine in self.engines:
            (<Engine>engine).retime_all()
        return self.version

    def checked_client(self, client_id, rate, digests):
        raw = checked_id(client_id)
        if rate is not None:
            checked_rate(rate, f"clients.{client_id}.rate", False)
        for digest in digests:
            if type(digest) is not bytes or len(digest) != 32:
                raise ValueError(
                    f"clients.{client_id}.token_sha256: a SHA-256 has 32 bytes")
        return client_id, raw, rate, tuple(digests)

    def knows(self, str client_id, bytes raw):
        cdef Key key
        key_of_name(&key, raw, parsed_address(client_id))
        return keymap_find(&self.table.keys, &key) != KEYMAP_NO_ROW

    def apply_defaults(self, int64_t default_bps, int64_t total_bps):
        cdef int64_t now = clock_monotonic_ns()
        # Rows are added under the mutex: one with the old default is counted in
        # ``used`` by now, and apply_default_rate will see it.
        pthread_mutex_lock(&self.table.mutex)
        atomic_store_i64(&self.table.default_rate_bps, default_bps)
        pthread_mutex_unlock(&self.table.mutex)
        bucket_set_rate(
            &self.table.rows[CLIENT_OVERFLOW].bucket, default_bps, now)
        bucket_set_rate(&self.table.rows[CLIENT_SERVER].bucket, total_bps, now)

    def apply_client(self, str client_id, bytes raw, rate):
        """Give a listed client its rate; without one an override by API stays."""
        cdef int64_t row = self.row_of(client_id, raw)
        if row < 0:  # addresses took the last rows since we counted
            raise OverflowError("the client table filled up meanwhile")
        if rate is not None:
            self.put_rate(<uint32_t>row, rate, SOURCE_FILE)
            return row
        return None

    def apply_default_rate(self, set listed):
        cdef uint32_t row
        for row in range(CLIENT_FIRST, atomic_load_u32(&self.table.used)):
            if row in listed or self.table.rows[row].source == SOURCE_API:
                continue
            self.put_rate(row, self.table.default_rate_bps, SOURCE_DEFAULT)

    def apply_tokens(self, wanted):
        cdef Key key
        cdef bytes digest
        listed = {d: (i, raw) for i, raw, _, digests in wanted for d in digests}
        for digest in set(self.tokens) - set(listed):
            self.bind_token(digest, KEYMAP_NO_ROW)
        for digest, (client_id, raw) in listed.items():
            self.bind_token(digest, <uint32_t>self.row_of(client_id, raw))
        self.tokens = {d: i for d, (i, _) in listed.items()}

    cdef int bind_token(self, bytes digest, uint32_t row) except -1:
        cdef Key key
        cdef int rc
        key_zero(&key, KEY_TOKEN)
        memcpy(key.bytes, PyBytes_AS_STRING(digest), 32)
        pthread_mutex_lock(&self.table.mutex)
        rc = keymap_set(&self.table.keys, &key, row)
        pthread_mutex_unlock(&self.table.mutex)
        if rc < 0:
            raise OverflowError("no room for more tokens")
        return 0

    cdef str name_of(self, uint32_t row):
        cdef Client* client = clients_at(&self.table, row)
        if row == CLIENT_OVERFLOW:
            return OVERFLOW_ID
        if client.by_address:
            return printed_address((<char*>client.address)[:16])
        return (<char*>client.id)[:client.id_n].decode("utf-8")

    cdef row_to_python(self, uint32_t row, int64_t now):
        cdef Client* c = clients_at(&self.table, row)
        return ClientRow(
            self.name_of(row), atomic_load_i64(&c.bucket.rate_bps),
            SOURCES[c.source], atomic_load_i64(&c.bytes_total),
            atomic_load_i64(&c.requests_total), atomic_load_i64(&c.connections),
            atomic_load_i64(&c.transfers), atomic_load_i64(&c.parked),
            bucket_fill_bytes(&c.bucket, now), window_mean_bps(&c.window, now),
            atomic_load_i64(&c.last_active_ns))

    def snapshot(self):
        cdef int64_t now = clock_monotonic_ns()
        cdef uint32_t used = atomic_load_u32(&self.table.used)
        first = CLIENT_OVERFLOW if self.overflow_total else CLIENT_FIRST
        return [self.row_to_python(row, now) for row in range(first, used)]
