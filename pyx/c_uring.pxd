"""liburing.h: only what the engine uses. liburing 2.3 is the floor."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from c_socket cimport msghdr


cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #include <liburing.h>

    /* io_uring_register(IORING_REGISTER_NAPI), Linux 6.9; liburing has it since 2.6. */
    static inline int penstock_register_napi(struct io_uring *ring, uint32_t busy_us) {
        struct { uint32_t busy_poll_to; uint8_t prefer, opcode, pad[2];
                 uint32_t op_param, resv; } napi;
        memset(&napi, 0, sizeof napi);
        napi.busy_poll_to = busy_us;
        napi.prefer = 1;
        long rc = syscall(__NR_io_uring_register, ring->ring_fd, 27, &napi, 1);
        return rc < 0 ? -errno : 0;
    }

    /* For any number of CPUs: cpu_set_t ends at 1024. */
    static inline int penstock_pin_workers(struct io_uring *ring, int cpu) {
        unsigned long mask[8192 / (8 * sizeof(long))] = {0};
        if (cpu < 0 || cpu >= 8192) return -EINVAL;
        mask[cpu / (8 * sizeof(long))] |= 1UL << (cpu % (8 * sizeof(long)));
        return io_uring_register_iowq_aff(
            ring, sizeof mask, (const cpu_set_t *)(const void *)mask);
    }
    """

cdef extern from "<liburing.h>" nogil:
    struct __kernel_timespec:
        int64_t tv_sec
        int64_t tv_nsec

    struct io_uring_sqe:
        uint64_t user_data
        uint16_t ioprio
        uint16_t buf_group
        # ...

    struct io_uring_cqe:
        uint64_t user_data
        int res
        uint32_t flags

    struct io_uring_params:
        uint32_t cq_entries
        uint32_t flags
        uint32_t features
        # ...

    struct io_uring:
        int ring_fd
        uint32_t features
        # ...

    struct io_uring_buf_ring:
        pass

    struct io_uring_buf_reg:
        uint64_t ring_addr
        uint32_t ring_entries
        uint16_t bgid
        # ...

    struct io_uring_probe:
        pass

    struct open_how:
        uint64_t flags
        uint64_t mode
        uint64_t resolve

    int io_uring_queue_init_params(
        unsigned int entries, io_uring* ring, io_uring_params* p)
    void io_uring_queue_exit(io_uring* ring)
    int io_uring_register_ring_fd(io_uring* ring)
    int penstock_pin_workers(io_uring* ring, int cpu)
    int io_uring_register_iowq_max_workers(io_uring* ring, unsigned int* values)
    int penstock_register_napi(io_uring* ring, uint32_t busy_us)
    int io_uring_register_buf_ring(
        io_uring* ring, io_uring_buf_reg* reg, unsigned int flags)
    int io_uring_unregister_buf_ring(io_uring* ring, int bgid)
    void io_uring_buf_ring_init(io_uring_buf_ring* br)
    void io_uring_buf_ring_add(
        io_uring_buf_ring* br, void* addr, unsigned int len, unsigned short bid,
        int mask, int buf_offset)
    void io_uring_buf_ring_advance(io_uring_buf_ring* br, int count)

    io_uring_sqe* io_uring_get_sqe(io_uring* ring)
    int io_uring_submit(io_uring* ring)
    int io_uring_submit_and_get_events(io_uring* ring)
    int io_uring_submit_and_wait_timeout(
        io_uring* ring, io_uring_cqe** cqe, unsigned int wait_nr,
        __kernel_timespec* ts, void* sigmask)
    unsigned int io_uring_peek_batch_cqe(
        io_uring* ring, io_uring_cqe** cqes, unsigned int count)
    void io_uring_cq_advance(io_uring* ring, unsigned int nr)
    bint io_uring_cq_has_overflow(const io_uring* ring)

    void io_uring_sqe_set_data64(io_uring_sqe* sqe, uint64_t data)
    void io_uring_sqe_set_flags(io_uring_sqe* sqe, unsigned int flags)
    void io_uring_prep_multishot_accept(
        io_uring_sqe* sqe, int fd, void* addr, void* addrlen, int flags)
    void io_uring_prep_recv(
        io_uring_sqe* sqe, int fd, void* buf, size_t n, int flags)
    void io_uring_prep_recv_multishot(
        io_uring_sqe* sqe, int fd, void* buf, size_t n, int flags)
    void io_uring_prep_send(
        io_uring_sqe* sqe, int fd, const void* buf, size_t n, int flags)
    void io_uring_prep_send_zc(
        io_uring_sqe* sqe, int fd, const void* buf, size_t n, int flags,
        unsigned int zc_flags)
    void io_uring_prep_sendmsg(
        io_uring_sqe* sqe, int fd, const msghdr* msg, unsigned int flags)
    void io_uring_prep_splice(
        io_uring_sqe* sqe, int fd_in, int64_t off_in, int fd_out, int64_t off_out,
        unsigned int n, unsigned int flags)
    void io_uring_prep_poll_add(io_uring_sqe* sqe, int fd, unsigned int mask)
    void io_uring_prep_poll_multishot(io_uring_sqe* sqe, int fd, unsigned int mask)
    void io_uring_prep_cancel64(io_uring_sqe* sqe, uint64_t user_data, int flags)
    void io_uring_prep_cancel_fd(io_uring_sqe* sqe, int fd, unsigned int flags)
    void io_uring_prep_fadvise(
        io_uring_sqe* sqe, int fd, uint64_t offset, int64_t n, int advice)
    void io_uring_prep_close(io_uring_sqe* sqe, int fd)
    void io_uring_prep_openat2(
        io_uring_sqe* sqe, int dfd, const char* path, open_how* how)
    void io_uring_prep_read(
        io_uring_sqe* sqe, int fd, void* buf, unsigned int n, uint64_t offset)

    void io_uring_prep_write(
        io_uring_sqe* sqe, int fd, const void* buf, unsigned int n, uint64_t offset)

    io_uring_probe* io_uring_get_probe()
    void io_uring_free_probe(io_uring_probe* probe)
    int io_uring_opcode_supported(const io_uring_probe* probe, int op)

    enum:
        IORING_SETUP_CQSIZE
        IORING_SETUP_SUBMIT_ALL
        IORING_SETUP_COOP_TASKRUN
        IORING_SETUP_TASKRUN_FLAG
        IORING_SETUP_SINGLE_ISSUER
        IORING_SETUP_DEFER_TASKRUN
        IORING_FEAT_NODROP
        IORING_FEAT_SUBMIT_STABLE
        IORING_FEAT_FAST_POLL
        IORING_FEAT_EXT_ARG
        IORING_FEAT_NATIVE_WORKERS
        IORING_FEAT_CQE_SKIP
        IORING_CQE_F_BUFFER
        IORING_CQE_F_MORE
        IORING_CQE_F_NOTIF
        IORING_CQE_BUFFER_SHIFT
        IORING_ASYNC_CANCEL_ALL
        IOSQE_ASYNC
        IOSQE_BUFFER_SELECT
        IOSQE_CQE_SKIP_SUCCESS
        IORING_OP_ACCEPT
        IORING_OP_RECV
        IORING_OP_SEND
        IORING_OP_SENDMSG
        IORING_OP_SPLICE
        IORING_OP_POLL_ADD
        IORING_OP_ASYNC_CANCEL
        IORING_OP_CLOSE
        IORING_OP_OPENAT2
        IORING_OP_READ
        IORING_OP_SEND_ZC

cdef extern from "<linux/openat2.h>" nogil:
    enum:
        RESOLVE_BENEATH
        RESOLVE_NO_MAGICLINKS
        RESOLVE_CACHED
