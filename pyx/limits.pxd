"""Every bound of the engine: those that can be set, and the fixed ones with reasons."""

from libc.stdint cimport int64_t, uint32_t

from delegate cimport Delegates
from encodings cimport Encodings


cdef enum:
    HEADER_NAME_BYTES_MAX = 63   # of the one that names clients

cdef struct Limits:
    uint32_t max_connections       # slots for clients that are served
    uint32_t max_request_line_bytes  # the request target; longer: 414
    uint32_t max_header_bytes      # all header lines of a request; more: 431
    uint32_t max_headers           # header lines of a request; more: 431
    uint32_t max_ranges            # ranges of a Range field; more: served whole
    int64_t max_body_bytes         # of a body that is read and thrown away; more: 413
    int64_t idle_timeout_ns        # keep-alive connection without a request
    int64_t header_timeout_ns      # from a request's first byte to its last
    int64_t write_timeout_ns       # a granted write without progress
    int64_t linger_timeout_ns      # wait for the peer's FIN after ours
    int64_t small_file_bytes       # up to this a file is sent from memory
    uint32_t cache_entries         # open-file cache: entries (an fd each, if large)
    int64_t cache_bytes            # open-file cache: memory for small bodies
    int64_t cache_revalidate_ns    # age at which an entry is compared with the disk
    uint32_t pipes                 # pipes for cold reads, and so reads in flight
    uint32_t pipe_bytes            # wished size of each pipe
    uint32_t receive_buffers       # provided buffers, a power of two
    uint32_t receive_buffer_bytes  # size of each
    uint32_t sq_entries            # submission queue
    uint32_t iowq_workers          # io-wq workers per class: each may block on a disk
    bint show_dotfiles
    Encodings encodings            # whose sidecars are looked for
    uint32_t busy_poll_us          # NAPI busy polling of the ring; 0: none
    uint32_t transmit              # TransmitMode (strategy.pxd)
    uint32_t max_intakes           # requests that Python answers, at once; more: 503
    uint32_t write_path            # WritePath
    int64_t body_timeout_ns        # a body that is wanted and makes no progress
    Delegates delegates            # whose requests those are
    # Of the present identity: what is kept of a trusted proxy's request.
    bint reads_forwarded
    uint32_t header_n              # 0: no header names clients
    char header[HEADER_NAME_BYTES_MAX + 1]

cdef enum:
    # A Request holds the target and the fields the engine looks at; 16 KiB each is
    # twice what common servers accept by default, and bounds the two settings.
    TARGET_BYTES_MAX = 16384
    FIELD_ARENA_BYTES = 16384
    # Of a head, beyond the limits of its target and fields: method, version, blank
    # lines before it, and white space that those limits do not count.
    HEAD_SLACK_BYTES = 1024
    # Bytes of the stream for one byte of a chunked body: "1", CR, LF, it, CR, LF are
    # six; the rest is for leading zeros and short extensions.
    BODY_FRAMING_FACTOR = 8
    # A Message lists its spans in place: two a range and a closing boundary.
    RANGES_MAX = 32
    SPANS_MAX = 2 * RANGES_MAX + 2
    # Head of the response and the heads of all parts: 512 + 33 * 256 bytes fit. With it
    # a Message is seven half pages long, so that what an ordinary response uses of it,
    # the first half, lies in one page.
    MESSAGE_TEXT_BYTES = 12440
    # Gathered by one SENDMSG.
    GATHER_MAX = 16
    # Unparsed input that a connection keeps while it serves an earlier request. At this
    # bound it stops receiving.
    PENDING_FIRST_BYTES = 4096
    PENDING_PAUSE_BYTES = 16384
    # What has come by the time it stops: at most every receive buffer (default: 4 MiB).
    PENDING_BYTES_MAX = 16777216
    # Of all connections of an engine; the one that would pass it is cut.
    PENDING_TOTAL_BYTES_MAX = 67108864
    # Beyond that, for each intake: many may begin at once, and the kernel fills some
    # receive buffers before it hears that enough has come.
    PENDING_INTAKE_BYTES = 262144
    # Input that is thrown away while waiting for the peer's FIN.
    LINGER_BYTES_MAX = 1048576
    # Slots beyond max_connections that only ever say 503.
    REFUSAL_SLOTS = 64
    # CQ = 8 x SQ: multishot requests complete more often than they are submitted.
    CQ_PER_SQ = 8
    # Completions taken from the ring at once.
    CQE_BATCH = 256
    # Sends whose memory the network still has; one more is copied. Each takes a line.
    ZEROCOPIES_MAX = 4096
    ZEROCOPY_BYTES = 64
    # Letters that wait for an engine or for Trio.
    MAILBOX_LETTERS = 1024
    LISTENERS_MAX = 16
    CLIENT_ID_BYTES_MAX = 64
    # Looked at for one to recycle, while a new client waits: 10 us if all are in use.
    RECYCLE_ROWS_MAX = 512
    # In a larger table the search ends when so many idle ones were seen: the oldest of
    # them is among the oldest 5 % of all, but for one time in 27.
    RECYCLE_IDLE_ROWS = 64
    # Rows that are kept for groups; a line of waiting clients each, on every engine.
    GROUPS_MAX = 256
    # What the control pass tells engines at once of rates that grew much.
    RETIMES_MAX = 32

cdef enum:
    # What is collected of a body before it is written.
    INTAKE_BUFFER_BYTES = 131072
    INTAKES_MAX = 4096
    # For whom much comes fast: a huge page each. Each write takes a worker from cold
    # downloads while it lasts.
    BLOCK_BYTES = 2097152
    BLOCKS_MAX = 4

cdef enum WritePath:
    WRITE_AUTO
    WRITE_SPLICE
    WRITE_COPY
    WRITE_DIRECT

cdef extern from *:
    """
    /* Accept again after EMFILE and the like: long enough for descriptors to come
       back, short enough that a client's SYN retry (1 s) is not needed. */
    #define ACCEPT_BACKOFF_NS INT64_C(100000000)
    /* The loop wakes at least this often, so that clocks and Date stay true. */
    #define LOOP_WAIT_MAX_NS INT64_C(1000000000)
    /* One inline move, and what one transfer may move before others have a turn; and
       what a round of the loop moves before it looks for completions. Longer is
       cheaper: one piece of 1 MiB costs 80 us. */
    #define INLINE_MOVE_BYTES INT64_C(1048576)
    #define ROUND_MOVE_BYTES INT64_C(4194304)
    /* The same while brief requests come, too: with 100 downloads beside them, their
       median is 0.12 ms with these and 0.32 ms with a round of 2 MiB. */
    #define SHARED_MOVE_BYTES INT64_C(262144)
    #define SHARED_ROUND_BYTES INT64_C(524288)
    /* Brief responses, and how long after one more are expected. */
    #define BRIEF_BYTES INT64_C(65536)
    #define BRIEF_LASTS_NS INT64_C(20000000)
    /* The one buffer of inline copies: it stays in the CPU's second cache. */
    #define COPY_BYTES INT64_C(262144)
    """
    const int64_t ACCEPT_BACKOFF_NS
    const int64_t LOOP_WAIT_MAX_NS
    const int64_t INLINE_MOVE_BYTES
    const int64_t ROUND_MOVE_BYTES
    const int64_t SHARED_MOVE_BYTES
    const int64_t SHARED_ROUND_BYTES
    const int64_t BRIEF_BYTES
    const int64_t BRIEF_LASTS_NS
    const int64_t COPY_BYTES
