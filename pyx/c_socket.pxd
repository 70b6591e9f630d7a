"""sys/socket.h, sys/uio.h, netinet/*.h and arpa/inet.h: only what the engine uses."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags

    struct sockaddr:
        uint16_t sa_family

    struct sockaddr_storage:
        uint16_t ss_family

    int getpeername(int fd, sockaddr* addr, unsigned int* n)
    int shutdown(int fd, int how)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    ssize_t recv(int fd, void* at, size_t n, int flags)
    ssize_t send(int fd, const void* at, size_t n, int flags)
    int getsockopt(int fd, int level, int name, void* value, unsigned int* n)
    int setsockopt(int fd, int level, int name, const void* value, unsigned int n)

    enum:
        AF_INET
        AF_INET6
        SHUT_WR
        SOL_SOCKET
        SO_MAX_PACING_RATE
        SO_RCVLOWAT
        SHUT_RDWR
        MSG_DONTWAIT
        MSG_MORE
        MSG_NOSIGNAL
        MSG_PEEK
        MSG_TRUNC
        SOCK_CLOEXEC
        SOCK_NONBLOCK

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_CONGESTION
        TCP_CORK
        TCP_DEFER_ACCEPT
        TCP_INFO
        TCP_NOTSENT_LOWAT

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_TCP

    struct in_addr:
        uint32_t s_addr

    struct sockaddr_in:
        in_addr sin_addr

    struct in6_addr:
        uint8_t s6_addr[16]

    struct sockaddr_in6:
        in6_addr sin6_addr

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char* text, void* address)
    const char* inet_ntop(
        int family, const void* address, char* text, unsigned int n)

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, ...)

cdef extern from "<linux/sockios.h>" nogil:
    enum:
        SIOCINQ

cdef extern from "<poll.h>" nogil:
    enum:
        POLLIN
        POLLOUT
