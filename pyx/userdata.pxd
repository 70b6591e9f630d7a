"""Userdata: what a completion is about, in the 64 bits that io_uring hands back.

op 8 bits, slot 24 bits, generation 32 bits. The generation keeps a late completion away
from the next user of its slot.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef enum:
    USERDATA_SLOT_BITS = 24
    USERDATA_SLOT_MAX = 0xFFFFFF

cdef extern from *:
    """
    #define USERDATA_POINTER_MAX ((UINT64_C(1) << 56) - 1)
    """
    const uint64_t USERDATA_POINTER_MAX


cdef inline uint64_t userdata_pack(
    uint8_t op, uint32_t slot, uint32_t generation
) noexcept nogil:
    return (
        (<uint64_t>op << 56) | (<uint64_t>(slot & USERDATA_SLOT_MAX) << 32)
        | generation)


cdef inline uint8_t userdata_op(uint64_t data) noexcept nogil:
    return <uint8_t>(data >> 56)


cdef inline uint32_t userdata_slot(uint64_t data) noexcept nogil:
    return <uint32_t>(data >> 32) & USERDATA_SLOT_MAX


cdef inline uint32_t userdata_generation(uint64_t data) noexcept nogil:
    return <uint32_t>data


cdef inline uint64_t userdata_of_pointer(const void* at, uint8_t op) noexcept nogil:
    """Instead of slot and generation. Pointers of user space fit in 56 bits on x86-64
    and arm64."""
    return (<uint64_t>op << 56) | (<uint64_t><size_t>at & USERDATA_POINTER_MAX)


cdef inline void* userdata_pointer(uint64_t data) noexcept nogil:
    return <void*><size_t>(data & USERDATA_POINTER_MAX)
