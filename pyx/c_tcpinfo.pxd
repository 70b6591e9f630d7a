"""struct tcp_info of linux/tcp.h: only what the controllers look at.

Declared here with the kernel's offsets, since netinet/tcp.h has an older and shorter
struct of the same name. A kernel that knows less fills in less: the rest stays zero.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from *:
    """
    #include <assert.h>
    #include <stddef.h>
    #include <stdint.h>

    struct tcpinfo {
        uint8_t unused_0[5];
        uint8_t options;             /* TCPI_OPT_* */
        uint8_t unused_6;
        uint8_t app_limited;         /* bit 0: the last rate sample was */
        uint32_t unused_8[2];
        uint32_t snd_mss;
        uint32_t unused_20[12];
        uint32_t rtt_us;             /* smoothed */
        uint32_t unused_72[7];
        uint32_t total_retrans;
        uint32_t unused_104[4];
        uint64_t bytes_acked;
        uint64_t unused_128;
        uint32_t unused_136[3];
        uint32_t min_rtt_us;         /* ~0: none measured */
        uint32_t unused_152;
        uint32_t data_segs_out;
        uint32_t unused_160[8];
        uint32_t delivered;
        uint32_t delivered_ce;
        uint64_t unused_200;
        uint64_t bytes_retrans;      /* data only */
    };
    static_assert(offsetof(struct tcpinfo, snd_mss) == 16, "tcp_info");
    static_assert(offsetof(struct tcpinfo, rtt_us) == 68, "tcp_info");
    static_assert(offsetof(struct tcpinfo, total_retrans) == 100, "tcp_info");
    static_assert(offsetof(struct tcpinfo, bytes_acked) == 120, "tcp_info");
    static_assert(offsetof(struct tcpinfo, min_rtt_us) == 148, "tcp_info");
    static_assert(offsetof(struct tcpinfo, data_segs_out) == 156, "tcp_info");
    static_assert(offsetof(struct tcpinfo, delivered_ce) == 196, "tcp_info");
    static_assert(offsetof(struct tcpinfo, bytes_retrans) == 208, "tcp_info");

    #define TCPINFO_ECN 8            /* TCPI_OPT_ECN */
    """
    struct tcpinfo:
        uint8_t options
        uint8_t app_limited
        uint32_t snd_mss
        uint32_t rtt_us
        uint32_t total_retrans
        uint64_t bytes_acked
        uint32_t min_rtt_us
        uint32_t data_segs_out
        uint32_t delivered
        uint32_t delivered_ce
        uint64_t bytes_retrans

    enum:
        TCPINFO_ECN
