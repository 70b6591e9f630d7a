"""FileCache: open files and the memory of small ones, by path.

An entry is found by its path below the root, and by whether it is sent as itself or as
an encoding of another. It stays alive as long as somebody holds
a reference, even after the cache has dropped it: a transfer always finishes the file
that it began. Entries leave by CLOCK when the number of entries or the memory for
bodies would pass its bound.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from c_assert cimport ENGINE_ASSERT
from c_file cimport close, open_how
from c_socket cimport iovec
from encodings cimport ENCODING_SUFFIX_BYTES_MAX
from httpdate cimport HTTPDATE_BYTES
from image cimport Image, image_unref
from keymap cimport hash_bytes
from mapping cimport power_of_two
from text cimport Text


cdef enum FileKind:
    FILE_UNKNOWN
    FILE_REGULAR
    FILE_DIRECTORY

cdef enum FileState:
    FILE_FILLING     # being opened or read; requests wait on it
    FILE_READY
    FILE_FAILED      # status says how

cdef enum:
    # Three 64-bit numbers in hexadecimal, the name of an encoding, three dashes, two
    # quotes.
    ETAG_BYTES_MAX = 60

cdef struct File:
    File* next               # in its bucket
    File* clock_next
    File* clock_prev
    void* waiters            # connections that wait for the fill (conn.pxd)
    Image* image             # of a small file; NULL: send from fd
    uint64_t hash
    uint64_t dev
    uint64_t ino
    int64_t size
    int64_t mtime_ns
    int64_t ctime_ns
    int64_t modified_s       # what Last-Modified says
    int64_t validated_ns     # when it was last compared with the disk
    int64_t hot_ns           # when all of it was last seen in the page cache, or 0
    int64_t charged_bytes    # of the cache's budget
    open_how how             # of the open in flight
    Text media_type
    uint32_t mode
    uint32_t uid
    uint32_t gid
    uint32_t refs
    int fd
    uint16_t status          # of a failed fill
    uint8_t state
    uint8_t kind
    uint8_t strategy         # how its bytes get to a socket (strategy.pxd)
    uint8_t encoding         # in whose name it is sent: Encoding, IDENTITY its own
    uint8_t sidecars         # bit per Encoding that it has a sidecar of
    uint8_t refused          # of them: could not be opened when last tried
    uint8_t probing          # which sidecar the open in flight looks for, 1 first; or 0
    uint8_t reopened         # opens on the ring that were tried again
    bint linked              # the cache finds it
    bint used                # since the hand passed
    uint8_t etag_n
    char etag[ETAG_BYTES_MAX]
    char last_modified[HTTPDATE_BYTES]
    uint32_t path_n
    char path[1]             # NUL-terminated, and room for a suffix behind it

cdef struct FileCache:
    File** buckets
    File* hand
    uint32_t mask
    uint32_t entries
    uint32_t entries_max
    uint32_t filling         # opens and reads in flight
    int64_t bytes            # of images
    int64_t bytes_max
    int64_t hits_total
    int64_t misses_total
    int64_t evictions_total
    uint64_t seed


cdef inline int filecache_init(
    FileCache* c, uint32_t entries, int64_t bytes, uint64_t seed
) noexcept nogil:
    cdef uint32_t n = power_of_two(max(16, 2 * entries))
    c.buckets = <File**>calloc(n, sizeof(File*))
    c.mask = n - 1
    c.entries_max = entries
    c.bytes_max = bytes
    c.seed = seed
    c.hand = NULL
    c.entries = c.filling = 0
    c.bytes = c.hits_total = c.misses_total = c.evictions_total = 0
    return 0 if c.buckets != NULL else -12


cdef inline int64_t file_memory(const File* f) noexcept nogil:
    return 0 if f.image == NULL else <int64_t>(f.image.head_n + f.image.body_n)


cdef inline void file_unref(File* f) noexcept nogil:
    f.refs -= 1
    if f.refs:
        return
    ENGINE_ASSERT(not f.linked and f.waiters == NULL)
    if f.image != NULL:
        image_unref(f.image)
    if f.fd >= 0:
        close(f.fd)
    free(f)


cdef inline File* file_ref(File* f) noexcept nogil:
    f.refs += 1
    return f


cdef inline File* file_new(
    const char* path, size_t n, uint64_t hash, uint8_t encoding
) noexcept nogil:
    """With one reference, filling; NULL without memory."""
    cdef File* f = <File*>calloc(1, sizeof(File) + n + ENCODING_SUFFIX_BYTES_MAX)
    if f == NULL:
        return NULL
    f.refs = 1
    f.fd = -1
    f.hash = hash
    f.state = FILE_FILLING
    f.encoding = encoding
    f.path_n = <uint32_t>n
    memcpy(f.path, path, n)
    f.path[n] = 0
    return f


cdef inline uint64_t filecache_hash(
    FileCache* c, const char* path, size_t n
) noexcept nogil:
    return hash_bytes(path, n, c.seed)


cdef inline File* filecache_find(
    FileCache* c, const char* path, size_t n, uint64_t hash, uint8_t encoding
) noexcept nogil:
    """Borrowed, or NULL."""
    cdef File* f = c.buckets[hash & c.mask]
    while f != NULL:
        if (
                f.hash == hash and f.path_n == n and f.encoding == encoding
                and memcmp(f.path, path, n) == 0):
            f.used = True
            return f
        f = f.next
    return NULL


cdef inline void filecache_unlink(FileCache* c, File* f) noexcept nogil:
    """Forget the entry; whoever holds it keeps it."""
    cdef File** at = &c.buckets[f.hash & c.mask]
    if not f.linked:
        return
    while at[0] != f:
        at = &at[0].next
    at[0] = f.next
    if c.hand == f:
        c.hand = f.clock_next if f.clock_next != f else NULL
    f.clock_prev.clock_next = f.clock_next
    f.clock_next.clock_prev = f.clock_prev
    f.linked = False
    c.entries -= 1
    c.bytes -= f.charged_bytes
    f.charged_bytes = 0
    file_unref(f)


cdef inline void filecache_evict_one(FileCache* c) noexcept nogil:
    """CLOCK: the first entry that was not used since the hand last passed."""
    cdef File* f = c.hand
    while f.used:
        f.used = False
        f = f.clock_next
    c.hand = f.clock_next
    c.evictions_total += 1
    filecache_unlink(c, f)


cdef inline void filecache_make_room(FileCache* c, int64_t bytes) noexcept nogil:
    while c.hand != NULL and (
            c.entries >= c.entries_max or c.bytes + bytes > c.bytes_max):
        filecache_evict_one(c)


cdef inline void filecache_link(FileCache* c, File* f) noexcept nogil:
    """Let the cache find ``f``; takes a reference of its own."""
    filecache_make_room(c, 0)
    file_ref(f)
    f.linked = True
    f.used = True
    f.next = c.buckets[f.hash & c.mask]
    c.buckets[f.hash & c.mask] = f
    if c.hand == NULL:
        f.clock_next = f.clock_prev = f
        c.hand = f
    else:
        f.clock_next = c.hand
        f.clock_prev = c.hand.clock_prev
        c.hand.clock_prev.clock_next = f
        c.hand.clock_prev = f
    c.entries += 1


cdef inline void filecache_charge(FileCache* c, File* f) noexcept nogil:
    """``f`` got its image while linked: count it, and make room."""
    if not f.linked:
        return
    f.charged_bytes = file_memory(f)
    c.bytes += f.charged_bytes
    f.used = True
    while c.bytes > c.bytes_max and c.entries > 1:
        filecache_evict_one(c)


cdef inline void filecache_free(FileCache* c) noexcept nogil:
    while c.hand != NULL:
        filecache_unlink(c, c.hand)
    free(c.buckets)
    c.buckets = NULL
