# Wrappers of the HTTP units. Inputs and outputs are copied to and from memory of their
# exact size, so that a sanitizer sees every byte read or written beyond it.

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from authority cimport authority_is_valid
from conditions cimport (
    Conditions, Validators, conditions_evaluate, conditions_range_applies,
)
from httpdate cimport (
    HTTPDATE_BYTES, HTTPDATE_INVALID, httpdate_format, httpdate_parse,
)
from mime cimport (
    MIME_EXTENSION_BYTES_MAX, MIME_VALUE_BYTES_MAX, MediaType, MediaTypes,
    mime_compare, mime_lookup,
)
from ranges cimport ByteRange, ranges_parse
from target cimport Target, target_decode, target_encode_path
from text cimport Text, text_is_ci, text_trim


cdef enum:
    EXACT_BYTES_MAX = 1 << 30


cdef class Exact:
    """Memory of exactly ``n`` bytes, holding a copy of ``content`` if there is one."""

    cdef char* at
    cdef size_t n

    def __cinit__(self, size_t n, content=None):
        cdef const char* source
        if n > EXACT_BYTES_MAX:
            raise ValueError(f"{n} bytes")
        self.at = <char*>malloc(n)
        self.n = n
        if self.at == NULL and n:
            raise MemoryError
        if content is not None:
            source = content
            memcpy(self.at, source, n)

    def __dealloc__(self):
        free(self.at)

    cdef bytes head(self, size_t n):
        return PyBytes_FromStringAndSize(self.at, n)


cdef Exact exact(bytes content):
    return Exact(len(content), content)


cdef Text text_of(Exact memory):
    """Absent for None."""
    cdef Text t
    t.at = NULL if memory is None else memory.at
    t.n = 0 if memory is None else memory.n
    return t


cdef Exact optional(content):
    return None if content is None else exact(content)


def text_equals_ci(content, bytes lower):
    cdef Exact memory = optional(content)
    cdef Exact other = exact(lower)
    return bool(text_is_ci(text_of(memory), other.at, other.n))


def text_trimmed(content):
    cdef Exact memory = optional(content)
    cdef Text t = text_trim(text_of(memory))
    return None if t.at == NULL else PyBytes_FromStringAndSize(t.at, t.n)


def authority_valid(bytes content):
    cdef Exact memory = exact(content)
    return bool(authority_is_valid(text_of(memory)))


def httpdate_text(int64_t epoch_s):
    cdef Exact out = Exact(HTTPDATE_BYTES)
    httpdate_format(epoch_s, out.at)
    return out.head(HTTPDATE_BYTES)


def httpdate_seconds(bytes text, int64_t now_s=0):
    """None: not an HTTP date."""
    cdef Exact memory = exact(text)
    cdef int64_t found = httpdate_parse(memory.at, memory.n, now_s)
    return None if found == HTTPDATE_INVALID else found


def ranges(bytes field, int64_t size, int max_ranges=32):
    """A list of (first, last), or the verdict as an int."""
    cdef Exact memory = exact(field)
    cdef Exact out = Exact(max_ranges * sizeof(ByteRange))
    cdef ByteRange* found = <ByteRange*>out.at
    cdef int n = ranges_parse(memory.at, memory.n, size, found, max_ranges)
    if n <= 0:
        return n
    return [(found[i].first, found[i].last) for i in range(n)]


cdef class Conditional:
    """The fields of one request and the validators of one file; None: absent."""

    cdef Conditions conditions
    cdef Validators validators
    cdef list kept

    def __cinit__(
        self, *, etag=None, int64_t mtime_s=0, if_match=None, if_none_match=None,
        if_modified_since=None, if_unmodified_since=None, if_range=None,
    ):
        self.kept = []
        self.validators.etag = self.keep(etag)
        self.validators.mtime_s = mtime_s
        self.conditions.if_match = self.keep(if_match)
        self.conditions.if_none_match = self.keep(if_none_match)
        self.conditions.if_modified_since = self.keep(if_modified_since)
        self.conditions.if_unmodified_since = self.keep(if_unmodified_since)
        self.conditions.if_range = self.keep(if_range)

    cdef Text keep(self, content):
        cdef Exact memory = optional(content)
        self.kept.append(memory)
        return text_of(memory)

    def evaluate(self, bint get_or_head=True, int64_t now_s=0):
        return conditions_evaluate(
            &self.conditions, &self.validators, get_or_head, now_s)

    def range_applies(self, int64_t now_s=0):
        return bool(
            conditions_range_applies(&self.conditions, &self.validators, now_s))


def target_decoded(bytes raw, size_t cap=4096, bint show_dotfiles=False):
    """(path, trailing slash), or the negative errno."""
    cdef Exact memory = exact(raw)
    cdef Exact out = Exact(cap)
    cdef Target t
    cdef int rc = target_decode(memory.at, memory.n, out.at, cap, show_dotfiles, &t)
    if rc < 0:
        return rc
    if out.at[t.n] != 0:
        raise AssertionError("no NUL after the path")
    return out.head(t.n), bool(t.trailing_slash)


def target_encoded(bytes path, size_t cap=4096):
    """The encoded path, or the negative errno."""
    cdef Exact memory = exact(path)
    cdef Exact out = Exact(cap)
    cdef int n = target_encode_path(memory.at, memory.n, out.at, cap)
    return n if n < 0 else out.head(n)


def mime_order(bytes a, bytes b):
    cdef Exact left = exact(a)
    cdef Exact right = exact(b)
    return mime_compare(left.at, left.n, right.at, right.n)


cdef class MimeTable:
    """A table of (extension, media type), both bytes, sorted as the engine sorts."""

    cdef Exact memory
    cdef MediaTypes types

    def __cinit__(self, pairs):
        cdef MediaType* item
        pairs = sorted(pairs)
        self.memory = Exact(len(pairs) * sizeof(MediaType))
        self.types.items = <MediaType*>self.memory.at
        self.types.count = len(pairs)
        for i, (extension, value) in enumerate(pairs):
            if len(extension) > MIME_EXTENSION_BYTES_MAX or (
                    len(value) > MIME_VALUE_BYTES_MAX):
                raise ValueError("too long for the table")
            item = &self.types.items[i]
            memset(item, 0, sizeof(MediaType))
            memcpy(item.extension, <const char*>extension, len(extension))
            memcpy(item.value, <const char*>value, len(value))
            item.extension_n = len(extension)
            item.value_n = len(value)

    def lookup(self, bytes path):
        cdef Exact memory = exact(path)
        cdef Text t = mime_lookup(&self.types, memory.at, memory.n)
        return PyBytes_FromStringAndSize(t.at, t.n)
