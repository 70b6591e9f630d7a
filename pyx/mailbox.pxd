"""Mailbox: a bounded queue of small letters between threads, with an eventfd.

Any thread posts, one thread takes. It carries a handful of letters a second, so a mutex
is plenty; a full box drops the letter and counts it rather than block anybody.
"""

from libc.errno cimport EAGAIN, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from c_pthread cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t,
    pthread_mutex_unlock,
)
from c_file cimport close


cdef extern from *:
    """
    #include <sys/eventfd.h>
    #include <unistd.h>
    static inline void eventfd_signal(int fd) {
        uint64_t one = 1;
        ssize_t rc = write(fd, &one, sizeof one);
        (void)rc;  /* EAGAIN: the counter is full, so the reader is awake anyway */
    }
    static inline void eventfd_clear(int fd) {
        uint64_t count;
        ssize_t rc = read(fd, &count, sizeof count);
        (void)rc;  /* EAGAIN: nothing was signalled */
    }
    """
    int eventfd(unsigned int start, int flags) nogil
    void eventfd_signal(int fd) nogil
    void eventfd_clear(int fd) nogil
    enum:
        EFD_NONBLOCK
        EFD_CLOEXEC

cdef struct Letter:
    uint32_t kind
    uint32_t a
    int64_t b

cdef struct Mailbox:
    Letter* letters
    pthread_mutex_t mutex
    int64_t dropped      # posted to a full box
    int64_t noticed      # of them, those that the reader knows of
    uint32_t capacity    # a power of two
    uint32_t head        # taken so far
    uint32_t tail        # posted so far
    int fd               # readable when there may be letters


cdef inline int mailbox_init(Mailbox* m, uint32_t capacity) noexcept nogil:
    m.capacity = capacity
    m.head = m.tail = 0
    m.dropped = m.noticed = 0
    m.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    if m.fd < 0:
        return -errno
    m.letters = <Letter*>calloc(capacity, sizeof(Letter))
    if m.letters == NULL:
        close(m.fd)
        return -ENOMEM
    pthread_mutex_init(&m.mutex, NULL)
    return 0


cdef inline void mailbox_free(Mailbox* m) noexcept nogil:
    if m.letters == NULL:
        return
    close(m.fd)
    free(m.letters)
    m.letters = NULL
    pthread_mutex_destroy(&m.mutex)


cdef inline int mailbox_post(Mailbox* m, Letter letter) noexcept nogil:
    """0, or -EAGAIN when the box is full. Any thread."""
    cdef int rc = 0
    pthread_mutex_lock(&m.mutex)
    if m.tail - m.head == m.capacity:
        m.dropped += 1
        rc = -EAGAIN
    else:
        m.letters[m.tail & (m.capacity - 1)] = letter
        m.tail += 1
    pthread_mutex_unlock(&m.mutex)
    eventfd_signal(m.fd)
    return rc


cdef inline bint mailbox_take(Mailbox* m, Letter* letter) noexcept nogil:
    """The oldest letter; false when there is none. One thread only."""
    cdef bint found
    pthread_mutex_lock(&m.mutex)
    found = m.head != m.tail
    if found:
        letter[0] = m.letters[m.head & (m.capacity - 1)]
        m.head += 1
    pthread_mutex_unlock(&m.mutex)
    return found


cdef inline bint mailbox_lost(Mailbox* m) noexcept nogil:
    """Whether letters were dropped since the last call. The taking thread only."""
    cdef int64_t dropped
    pthread_mutex_lock(&m.mutex)
    dropped = m.dropped
    pthread_mutex_unlock(&m.mutex)
    if dropped == m.noticed:
        return False
    m.noticed = dropped
    return True


cdef inline void mailbox_drain_fd(Mailbox* m) noexcept nogil:
    """Before taking: a letter posted later signals again."""
    eventfd_clear(m.fd)
