"""Atomic words: GCC's __atomic builtins, which gcc and clang share.

Loads acquire, stores release, compare-and-swap does both; ``add`` is relaxed, because a
counter orders nothing; ``count`` is an ``add`` that acquires and releases, for counts
of who uses something.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from * nogil:
    """
    #include <stdint.h>

    static inline int64_t atomic_load_i64(const int64_t *p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    }
    static inline void atomic_store_i64(int64_t *p, int64_t value) {
        __atomic_store_n(p, value, __ATOMIC_RELEASE);
    }
    static inline int atomic_cas_i64(int64_t *p, int64_t *expected, int64_t desired) {
        return __atomic_compare_exchange_n(
            p, expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline int64_t atomic_add_i64(int64_t *p, int64_t value) {
        return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
    }
    static inline int64_t atomic_count_i64(int64_t *p, int64_t value) {
        return __atomic_fetch_add(p, value, __ATOMIC_ACQ_REL);
    }
    static inline void *atomic_load_ptr(void **p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    }
    static inline void atomic_store_ptr(void **p, void *value) {
        __atomic_store_n(p, value, __ATOMIC_RELEASE);
    }
    static inline uint32_t atomic_load_u32(const uint32_t *p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    }
    static inline void atomic_store_u32(uint32_t *p, uint32_t value) {
        __atomic_store_n(p, value, __ATOMIC_RELEASE);
    }
    static inline int32_t atomic_load_i32(const int32_t *p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    }
    static inline int32_t atomic_add_i32(int32_t *p, int32_t value) {
        return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
    }
    static inline uint32_t atomic_add_u32(uint32_t *p, uint32_t value) {
        return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
    }
    static inline uint64_t atomic_load_u64(const uint64_t *p) {
        return __atomic_load_n(p, __ATOMIC_RELAXED);
    }
    static inline void atomic_or_u64(uint64_t *p, uint64_t bits) {
        __atomic_fetch_or(p, bits, __ATOMIC_RELEASE);
    }
    static inline uint64_t atomic_swap_u64(uint64_t *p, uint64_t value) {
        return __atomic_exchange_n(p, value, __ATOMIC_ACQ_REL);
    }
    """
    int32_t atomic_load_i32(const int32_t* p)
    int32_t atomic_add_i32(int32_t* p, int32_t value)
    uint32_t atomic_add_u32(uint32_t* p, uint32_t value)
    uint64_t atomic_load_u64(const uint64_t* p)
    void atomic_or_u64(uint64_t* p, uint64_t bits)
    uint64_t atomic_swap_u64(uint64_t* p, uint64_t value)
    void* atomic_load_ptr(void** p)
    void atomic_store_ptr(void** p, void* value)
    int64_t atomic_load_i64(const int64_t* p)
    void atomic_store_i64(int64_t* p, int64_t value)
    bint atomic_cas_i64(int64_t* p, int64_t* expected, int64_t desired)
    int64_t atomic_add_i64(int64_t* p, int64_t value)
    int64_t atomic_count_i64(int64_t* p, int64_t value)
    uint32_t atomic_load_u32(const uint32_t* p)
    void atomic_store_u32(uint32_t* p, uint32_t value)
