"""Resolve: from a decoded path to an open file, below the root and never outside.

The kernel does the resolving (``openat2(RESOLVE_BENEATH)``): the answer is inline while
names and pages are cached, and comes from io-wq otherwise. Requests for a file that is
being opened wait on its entry.

A path is probed first (``O_PATH``, which opens nothing) and opened for reading only
when it leads to a regular file: opening a FIFO would wake its writer, and opening a
device may do anything. Between the two the name may have come to mean something else;
what was opened is looked at again, so the worst is a FIFO that somebody put there in
between.
"""

from libc.errno cimport (
    EACCES, EAGAIN, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM, ENOTDIR, ENXIO,
    EPERM, EXDEV, ENODEV, errno,
)
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from c_assert cimport ENGINE_ASSERT
from c_file cimport (
    O_PATH, RWF_NOWAIT, S_ISDIR, S_ISREG, close, fstat, penstock_ctime_ns,
    penstock_mtime_ns, penstock_mtime_s, preadv2, stat_t,
)
from c_socket cimport iovec
from c_uring cimport *
from conn cimport Conn
from encodings cimport ENCODING_IDENTITY, encoding_name, encoding_suffix
from engine cimport OP_READ, Engine, engine_run_soon
from filecache cimport (
    FILE_DIRECTORY, FILE_FAILED, FILE_FILLING, FILE_READY, FILE_REGULAR, File,
    file_new, file_ref, file_unref, filecache_charge, filecache_find,
    filecache_hash, filecache_link, filecache_unlink,
)
from heads cimport Facts, head_end, head_of_whole
from httpdate cimport httpdate_format
from image cimport Image, image_new, image_unref
from mime cimport mime_lookup
from opening cimport open_async, open_cached
from plan cimport file_facts
from ring cimport ring_counted_sqe
from sidecars cimport (
    sidecars_find, sidecars_go_on, sidecars_same, sidecars_wanted,
)
from strategy cimport STRATEGY_MEMORY, strategy_of_file
from userdata cimport userdata_of_pointer
from writer cimport (
    Writer, writer_count, writer_hex, writer_init, writer_string, writer_text,
)


cdef enum:
    HEAD_OF_WHOLE_BYTES = 512
    # Of a fill. One path walk meets a rename with a chance well below a half, even
    # where something renames all the time.
    REOPENED_MAX = 32


cdef inline uint16_t status_of_errno(int error) noexcept nogil:
    """How a failed open is told. What is outside the root does not exist. EAGAIN: who
    holds a lease on the file may give it up soon (fcntl(2))."""
    if error in (ENOENT, ENOTDIR, ELOOP, EXDEV, ENXIO, ENODEV, ENAMETOOLONG):
        return 404
    if error in (EACCES, EPERM):
        return 403
    if error in (EAGAIN, EMFILE, ENFILE, ENOMEM):
        return 503
    return 500


cdef inline const char* file_name(const File* f) noexcept nogil:
    """The root itself is "." to openat2."""
    if f.path_n == 0:
        return b"."
    return f.path


cdef inline void file_wake_waiters(Engine* e, File* f) noexcept nogil:
    cdef Conn* c = <Conn*>f.waiters
    cdef Conn* next
    f.waiters = NULL
    while c != NULL:
        next = c.waiter_next
        c.waiter_next = NULL
        engine_run_soon(e, c)
        c = next


cdef inline void file_fail(Engine* e, File* f, uint16_t status) noexcept nogil:
    """Tell the waiters; the next request tries again."""
    f.state = FILE_FAILED
    f.status = status
    filecache_unlink(&e.files, f)
    file_wake_waiters(e, f)


cdef inline void file_ready(Engine* e, File* f) noexcept nogil:
    f.state = FILE_READY
    filecache_charge(&e.files, f)
    file_wake_waiters(e, f)


cdef inline void file_take_stat(
    File* f, const stat_t* s, int64_t now_s
) noexcept nogil:
    """A Last-Modified may not be later than Date (RFC 9110 section 8.8.2.1)."""
    f.dev = s.st_dev
    f.ino = s.st_ino
    f.size = s.st_size
    f.mtime_ns = penstock_mtime_ns(s)
    f.ctime_ns = penstock_ctime_ns(s)
    f.modified_s = min(penstock_mtime_s(s), now_s)
    f.mode = s.st_mode
    f.uid = s.st_uid
    f.gid = s.st_gid


cdef inline bint file_same(const File* f, const stat_t* s) noexcept nogil:
    """ctime covers what mtime may hide, a write with its time put back. Its clock ticks
    slowly, so that what decides on access is compared itself, too."""
    return (
        f.mode == s.st_mode and f.uid == s.st_uid and f.gid == s.st_gid
        and f.dev == s.st_dev and f.ino == s.st_ino and f.size == s.st_size
        and f.mtime_ns == penstock_mtime_ns(s) and f.ctime_ns == penstock_ctime_ns(s))


cdef inline void file_describe(Engine* e, File* f) noexcept nogil:
    """Strong ETag, Last-Modified and Content-Type.

    mtime (ns), size and inode change whenever the content does, unless a writer puts
    the mtime back in place; files should be replaced by rename. An encoding has another
    tag than the file itself even where a link makes them one (RFC 9110 section
    8.8.3.3), and the media type of what it encodes.
    """
    cdef Writer w
    writer_init(&w, f.etag, sizeof(f.etag))
    writer_string(&w, b'"')
    writer_hex(&w, <uint64_t>f.mtime_ns)
    writer_string(&w, b"-")
    writer_hex(&w, <uint64_t>f.size)
    writer_string(&w, b"-")
    writer_hex(&w, f.ino)
    if f.encoding != ENCODING_IDENTITY:
        writer_string(&w, b"-")
        writer_text(&w, encoding_name(f.encoding))
    writer_string(&w, b'"')
    f.etag_n = <unsigned char>writer_count(&w)
    httpdate_format(f.modified_s, f.last_modified)
    f.media_type = mime_lookup(
        &e.media_types, f.path, f.path_n - encoding_suffix(f.encoding).n)


cdef inline Image* file_new_image(Engine* e, File* f) noexcept nogil:
    """An image with its head written and its body still unspecified, or NULL."""
    cdef char head[HEAD_OF_WHOLE_BYTES]
    cdef Facts facts = file_facts(f)
    cdef Writer w
    cdef size_t date_at
    cdef Image* image
    writer_init(&w, head, sizeof(head))
    date_at = head_of_whole(&w, &facts, e.date)
    head_end(&w)
    ENGINE_ASSERT(not w.full)
    image = image_new(writer_count(&w), <size_t>f.size)
    if image != NULL:
        memcpy(image.bytes, head, image.head_n)
        image.date_at = <unsigned int>date_at
        image.date_s = e.date_s
    return image


cdef inline void file_read_async(Engine* e, File* f) noexcept nogil:
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    io_uring_prep_read(
        sqe, f.fd, &f.image.bytes[f.image.head_n], <unsigned int>f.image.body_n, 0)
    io_uring_sqe_set_data64(sqe, userdata_of_pointer(f, OP_READ))
    file_ref(f)
    e.files.filling += 1


cdef inline void file_loaded(Engine* e, File* f, int64_t n) noexcept nogil:
    """``n`` bytes of a small file arrived; fewer than its size: it shrank meanwhile."""
    if n < 0:
        file_fail(e, f, status_of_errno(<int>-n))
        return
    if n != f.size:
        file_fail(e, f, 503)
        return
    close(f.fd)  # the memory is enough, and descriptors are scarce
    f.fd = -1
    file_ready(e, f)


cdef inline void file_load(Engine* e, File* f) noexcept nogil:
    """Read a small file: at once from the page cache, else on the ring."""
    cdef iovec v
    cdef int64_t n = 0
    f.image = file_new_image(e, f)
    if f.image == NULL:
        file_fail(e, f, 503)
        return
    v.iov_base = &f.image.bytes[f.image.head_n]
    v.iov_len = f.image.body_n
    if f.size:
        n = preadv2(f.fd, &v, 1, 0, RWF_NOWAIT)
    if n == f.size:
        file_loaded(e, f, n)
    else:
        file_read_async(e, f)


cdef inline void file_described(Engine* e, File* f) noexcept nogil:
    """All that its head says is known."""
    if f.strategy == STRATEGY_MEMORY:
        file_load(e, f)
    else:
        file_ready(e, f)


cdef inline void file_opened(Engine* e, File* f, int fd) noexcept nogil:
    """``fd`` for reading, or -errno. The file becomes ready, or is read first if
    small."""
    cdef stat_t s
    if fd < 0:
        file_fail(e, f, status_of_errno(-fd))
        return
    f.fd = fd
    if fstat(fd, &s) < 0:
        file_fail(e, f, status_of_errno(errno))
        return
    if not S_ISREG(s.st_mode):
        file_fail(e, f, 404)
        return
    f.validated_ns = e.now_ns
    file_take_stat(f, &s, e.date_s)
    f.kind = FILE_REGULAR
    file_describe(e, f)
    f.strategy = strategy_of_file(
        <unsigned char>e.limits.transmit, f.size, e.limits.small_file_bytes)
    if not sidecars_wanted(e, f) or sidecars_find(e, f, 0):
        file_described(e, f)


cdef inline void file_answered(
    Engine* e, File* f, bint probe, int fd
) noexcept nogil:
    if probe:
        file_probed(e, f, fd)
    else:
        file_opened(e, f, fd)


cdef inline void file_open(Engine* e, File* f, bint probe) noexcept nogil:
    """At once where the kernel knows the names, else on the ring."""
    cdef int fd = open_cached(e, file_name(f), probe)
    if fd == -EAGAIN:
        open_async(e, f, file_name(f), probe)
    else:
        file_answered(e, f, probe, fd)


cdef inline void file_probed(Engine* e, File* f, int fd) noexcept nogil:
    """``fd`` with O_PATH, or -errno. A directory is ready: only its index will be
    opened, so it need not be readable."""
    cdef stat_t s
    cdef int rc
    if fd < 0:
        file_fail(e, f, status_of_errno(-fd))
        return
    rc = -errno if fstat(fd, &s) < 0 else 0
    close(fd)
    if rc < 0:
        file_fail(e, f, status_of_errno(-rc))
    elif S_ISREG(s.st_mode):
        file_open(e, f, False)
    elif S_ISDIR(s.st_mode):
        f.kind = FILE_DIRECTORY
        f.validated_ns = e.now_ns
        file_take_stat(f, &s, e.date_s)
        file_ready(e, f)
    else:
        file_fail(e, f, 404)


cdef inline bint file_revalidate(Engine* e, File* f) noexcept nogil:
    """Whether the path still leads to what the entry holds, with the same permissions
    and with the same sidecars beside it.

    Asks at most once per ``cache_revalidate_ns``, and opens nothing: what is there now
    may be a FIFO.
    """
    cdef stat_t s
    cdef int fd
    cdef bint same
    if e.now_ns - f.validated_ns < e.limits.cache_revalidate_ns:
        return True
    fd = open_cached(e, file_name(f), True)
    if fd < 0:
        # Without a descriptor nothing can be said, and what is here is better than 503.
        return -fd in (EMFILE, ENFILE, ENOMEM)
    same = fstat(fd, &s) == 0 and file_same(f, &s)
    close(fd)
    f.validated_ns = e.now_ns
    return same and (not sidecars_wanted(e, f) or sidecars_same(e, f))


cdef inline File* resolve(
    Engine* e, const char* path, size_t n, uint8_t encoding
) noexcept nogil:
    """The entry for ``path``, to be sent as itself or as an encoding: ready, failed or
    filling, and referenced for the caller. NULL without memory."""
    cdef uint64_t hash = filecache_hash(&e.files, path, n)
    cdef File* f = filecache_find(&e.files, path, n, hash, encoding)
    if f != NULL:
        if f.state == FILE_FILLING or file_revalidate(e, f):
            e.files.hits_total += 1
            return file_ref(f)
        filecache_unlink(&e.files, f)
    e.files.misses_total += 1
    f = file_new(path, n, hash, encoding)
    if f == NULL:
        return NULL
    filecache_link(&e.files, f)
    file_open(e, f, True)
    return f


cdef inline bint open_again(Engine* e, File* f, int res) noexcept nogil:
    """A walk up (".." in a symlink) that meets a rename anywhere in the system gives up
    rather than risk to leave the root, and may be tried again (openat2(2), EAGAIN)."""
    if res != -EAGAIN or f.reopened == REOPENED_MAX:
        return False
    f.reopened += 1
    open_async(e, f, file_name(f), (f.how.flags & O_PATH) != 0)
    return True


cdef inline void open_answered(Engine* e, File* f, int res) noexcept nogil:
    if not f.probing:
        file_answered(e, f, (f.how.flags & O_PATH) != 0, res)
    elif sidecars_go_on(e, f, res):
        file_described(e, f)


cdef inline void on_open(Engine* e, File* f, int res) noexcept nogil:
    e.ring.in_flight -= 1
    e.files.filling -= 1
    if not open_again(e, f, res):
        open_answered(e, f, res)
    file_unref(f)


cdef inline void on_read(Engine* e, File* f, int res) noexcept nogil:
    e.ring.in_flight -= 1
    e.files.filling -= 1
    file_loaded(e, f, res)
    file_unref(f)
