"""Opening: asking the kernel for a path below the root, at once or on the ring."""

from libc.string cimport memset

from c_file cimport (
    O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_PATH, O_RDONLY, open_how, penstock_openat2,
)
from c_uring cimport *
from engine cimport OP_OPEN, Engine
from filecache cimport File, file_ref
from ring cimport ring_counted_sqe
from userdata cimport userdata_of_pointer


cdef inline void how_to_open(open_how* how, bint probe, bint cached) noexcept nogil:
    """O_NONBLOCK keeps the open from waiting, whatever there is. O_PATH goes with
    neither it nor O_NOCTTY."""
    memset(how, 0, sizeof(open_how))
    how.flags = O_CLOEXEC
    how.flags |= O_PATH if probe else O_RDONLY | O_NONBLOCK | O_NOCTTY
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
    if cached:
        how.resolve |= RESOLVE_CACHED


cdef inline void open_async(
    Engine* e, File* f, const char* name, bint probe
) noexcept nogil:
    """``name`` stays as it is until OP_OPEN completes, with ``f``."""
    cdef io_uring_sqe* sqe = ring_counted_sqe(&e.ring)
    how_to_open(&f.how, probe, False)
    io_uring_prep_openat2(sqe, e.root_fd, name, &f.how)
    io_uring_sqe_set_data64(sqe, userdata_of_pointer(f, OP_OPEN))
    file_ref(f)
    e.files.filling += 1


cdef inline int open_cached(Engine* e, const char* name, bint probe) noexcept nogil:
    """The descriptor or -errno; -EAGAIN: the kernel would have to ask the disk."""
    cdef open_how how
    how_to_open(&how, probe, True)
    return penstock_openat2(e.root_fd, name, &how)
