"""Files, pipes and mappings: fcntl.h, unistd.h, sys/stat.h, sys/mman.h.

``openat2`` and ``cachestat`` have no wrapper in glibc 2.36; they go through
``syscall``. A kernel without ``cachestat`` (before 6.5) answers ENOSYS.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from c_socket cimport iovec
from c_uring cimport open_how


cdef extern from *:
    """
    #define _GNU_SOURCE 1
    #include <errno.h>
    #include <fcntl.h>
    #include <stdint.h>
    #include <sys/mman.h>
    #include <sys/sendfile.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <unistd.h>
    #include <linux/openat2.h>

    #ifndef __NR_cachestat
    #define __NR_cachestat 451
    #endif

    static inline int penstock_openat2(int dirfd, const char *path,
                                       struct open_how *how) {
        long fd = syscall(SYS_openat2, dirfd, path, how, sizeof *how);
        return fd < 0 ? -errno : (int)fd;
    }

    /* Pages of [offset, offset + n) that the page cache holds, or -errno. */
    static inline int64_t penstock_cached_pages(int fd, int64_t offset, int64_t n) {
        struct { uint64_t off, len; } range = {(uint64_t)offset, (uint64_t)n};
        struct { uint64_t cache, dirty, writeback, evicted, recent; } found;
        long rc = syscall(__NR_cachestat, fd, &range, &found, 0);
        return rc < 0 ? -errno : (int64_t)found.cache;
    }

    static inline int64_t penstock_mtime_ns(const struct stat *s) {
        return s->st_mtim.tv_sec * INT64_C(1000000000) + s->st_mtim.tv_nsec;
    }

    /* The second it lies in, also before 1970: nanoseconds count forward. */
    static inline int64_t penstock_mtime_s(const struct stat *s) {
        return s->st_mtim.tv_sec;
    }

    static inline int64_t penstock_ctime_ns(const struct stat *s) {
        return s->st_ctim.tv_sec * INT64_C(1000000000) + s->st_ctim.tv_nsec;
    }
    """
    struct stat_t "stat":
        uint64_t st_dev
        uint64_t st_ino
        int64_t st_size
        uint32_t st_mode
        uint32_t st_uid
        uint32_t st_gid

    int penstock_openat2(int dirfd, const char* path, open_how* how) nogil
    int64_t penstock_cached_pages(int fd, int64_t offset, int64_t n) nogil
    int64_t penstock_mtime_ns(const stat_t* s) nogil
    int64_t penstock_mtime_s(const stat_t* s) nogil
    int64_t penstock_ctime_ns(const stat_t* s) nogil
    int fstat(int fd, stat_t* s) nogil
    bint S_ISREG(uint32_t mode) nogil
    bint S_ISDIR(uint32_t mode) nogil
    int open(const char* path, int flags) nogil
    int close(int fd) nogil
    int pipe2(int* fds, int flags) nogil
    int fcntl(int fd, int cmd, ...) nogil
    ssize_t splice(
        int fd_in, int64_t* off_in, int fd_out, int64_t* off_out, size_t n,
        unsigned int flags) nogil
    ssize_t sendfile(int fd_out, int fd_in, int64_t* offset, size_t n) nogil
    ssize_t preadv2(int fd, const iovec* iov, int n, int64_t offset, int flags) nogil
    void* mmap(void* at, size_t n, int prot, int flags, int fd, int64_t off) nogil
    int munmap(void* at, size_t n) nogil

    enum:
        POSIX_FADV_WILLNEED
        O_RDONLY
        O_WRONLY
        O_PATH
        O_NONBLOCK
        O_CLOEXEC
        O_NOCTTY
        F_SETFL
        F_SETPIPE_SZ
        F_GETPIPE_SZ
        F_DUPFD_CLOEXEC
        SPLICE_F_MOVE
        SPLICE_F_NONBLOCK
        SPLICE_F_MORE
        RWF_NOWAIT
        PROT_READ
        PROT_WRITE
        MAP_PRIVATE
        MAP_ANONYMOUS
        MAP_NORESERVE
    void* MAP_FAILED
