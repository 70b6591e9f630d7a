"""Sidecars: which encodings of a file lie beside it.

Found when the file enters the cache, and looked at again whenever it is: that they are
there and that they are not is known without asking for as long as the entry is. One
that comes, goes or grows old makes the entry a wrong one, like a change of the file.

A sidecar is a regular file that is not older than its original. Only names are looked
up here; it is opened, by the same rules as every file, when a client wants it.
"""

from libc.errno cimport EAGAIN, EMFILE, ENFILE, ENOMEM
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from c_file cimport S_ISREG, close, fstat, penstock_mtime_s, stat_t
from c_time cimport NS_PER_S
from encodings cimport encoding_suffix, encodings_end
from engine cimport Engine
from filecache cimport FILE_REGULAR, File
from opening cimport open_async, open_cached
from text cimport Text


cdef enum Sidecar:
    SIDECAR_NONE
    SIDECAR_STALE
    SIDECAR_FRESH


cdef inline bint sidecars_wanted(const Engine* e, const File* f) noexcept nogil:
    """Sidecars have none of their own, whoever asks for them."""
    return (
        e.limits.encodings.n and f.kind == FILE_REGULAR and not f.encoding
        and not encodings_end(&e.limits.encodings, f.path, f.path_n))


cdef inline const char* sidecar_name(File* f, uint8_t encoding) noexcept nogil:
    """The path with the suffix, until ``sidecar_forget_name``."""
    cdef Text suffix = encoding_suffix(encoding)
    memcpy(&f.path[f.path_n], suffix.at, suffix.n + 1)
    return f.path


cdef inline void sidecar_forget_name(File* f) noexcept nogil:
    f.path[f.path_n] = 0


cdef inline int sidecar_open_cached(
    Engine* e, File* f, uint8_t encoding
) noexcept nogil:
    cdef int fd = open_cached(e, sidecar_name(f, encoding), True)
    sidecar_forget_name(f)
    return fd


cdef inline Sidecar sidecar_judge(const File* f, int fd) noexcept nogil:
    """What ``fd``, which is closed, or -errno is to ``f``.

    Times count in whole seconds, because some compressors copy no more of them.
    """
    cdef stat_t s
    cdef int rc
    if fd < 0:
        return SIDECAR_NONE
    rc = fstat(fd, &s)
    close(fd)
    if rc < 0 or not S_ISREG(s.st_mode):
        return SIDECAR_NONE
    if (penstock_mtime_s(&s) + 1) * NS_PER_S <= f.mtime_ns:
        return SIDECAR_STALE
    return SIDECAR_FRESH


cdef inline void sidecar_note(
    Engine* e, File* f, uint8_t encoding, int fd
) noexcept nogil:
    cdef Sidecar verdict = sidecar_judge(f, fd)
    if verdict == SIDECAR_FRESH:
        f.sidecars |= <uint8_t>(1 << encoding)
    elif verdict == SIDECAR_STALE:
        e.counters.sidecars_stale += 1


cdef inline bint sidecars_find(Engine* e, File* f, uint8_t first) noexcept nogil:
    """Look for those from the ``first`` of the setting on. False: one is looked for on
    the ring, and when it is answered ``sidecars_go_on`` has to be called."""
    cdef uint8_t i, encoding
    cdef int fd
    for i in range(first, e.limits.encodings.n):
        encoding = e.limits.encodings.order[i]
        fd = sidecar_open_cached(e, f, encoding)
        if fd == -EAGAIN:
            f.probing = i + 1
            open_async(e, f, sidecar_name(f, encoding), True)
            return False
        sidecar_note(e, f, encoding, fd)
    return True


cdef inline bint sidecars_go_on(Engine* e, File* f, int fd) noexcept nogil:
    """As ``sidecars_find``; ``fd`` or -errno answers the last one asked for."""
    cdef uint8_t i = f.probing - 1
    f.probing = 0
    sidecar_forget_name(f)
    sidecar_note(e, f, e.limits.encodings.order[i], fd)
    return sidecars_find(e, f, i + 1)


cdef inline bint sidecar_same(Engine* e, File* f, uint8_t encoding) noexcept nogil:
    cdef bint known = (f.sidecars & 1 << encoding) != 0
    cdef int fd = sidecar_open_cached(e, f, encoding)
    if fd == -EAGAIN:
        return False
    if -fd in (EMFILE, ENFILE, ENOMEM):
        return True  # without a descriptor nothing can be said
    return (sidecar_judge(f, fd) == SIDECAR_FRESH) == known


cdef inline bint sidecars_same(Engine* e, File* f) noexcept nogil:
    """Whether as many are there as before; those that could not be opened get another
    chance."""
    cdef uint8_t i
    f.refused = 0
    for i in range(e.limits.encodings.n):
        if not sidecar_same(e, f, e.limits.encodings.order[i]):
            return False
    return True
