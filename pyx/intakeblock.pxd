"""IntakeBlock: a body's way from its socket into a file past the page cache.

What comes fast and is not read again soon is collected in a block and written from
there to the disk itself (O_DIRECT, open(2)): the kernel neither copies it once more nor
keeps books of its pages, and what downloads need stays cached. Such a write begins and
ends at a multiple of ALIGNMENT in memory and file; what is left over at an end goes
through the cache.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from blocks cimport blocks_give, blocks_take
from engine cimport Engine
from intake cimport Intake
from intakewait cimport INTAKEWAIT_MOST_BYTES, intakewait_room
from limits cimport BLOCK_BYTES, INTAKE_BUFFER_BYTES, WRITE_AUTO, WRITE_DIRECT


cdef enum:
    # Of memory and offsets: what every disk takes. Others than this say EINVAL, and
    # then the cache has to do.
    INTAKEBLOCK_ALIGNMENT = 4096
    INTAKEBLOCK_LEAST_BYTES = 524288


cdef inline bint intakeblock_wanted(
    const Engine* e, const Intake* i, int64_t here
) noexcept nogil:
    """Smaller pieces are for the cache to put together."""
    return (
        i.direct_fd >= 0
        and e.limits.write_path in (WRITE_AUTO, WRITE_DIRECT)
        and i.step == INTAKEWAIT_MOST_BYTES
        and here >= INTAKEBLOCK_LEAST_BYTES
        and intakewait_room(i) >= INTAKEWAIT_MOST_BYTES)


cdef inline bint intakeblock_take(Engine* e, Intake* i) noexcept nogil:
    """What is collected moves into it. False: none is free."""
    cdef char* block = blocks_take(&e.blocks)
    if block == NULL:
        return False
    memcpy(block, i.buffer, i.buffer_n)
    i.own = i.buffer
    i.buffer = block
    i.buffer_bytes = BLOCK_BYTES
    i.block = True
    return True


cdef inline void intakeblock_give(Engine* e, Intake* i) noexcept nogil:
    """What is left in it is less than an alignment, or nobody's."""
    if not i.block:
        return
    i.buffer_n = min(i.buffer_n, <uint32_t>INTAKEBLOCK_ALIGNMENT)
    memcpy(i.own, i.buffer, i.buffer_n)
    blocks_give(&e.blocks, i.buffer)
    i.buffer = i.own
    i.own = NULL
    i.buffer_bytes = INTAKE_BUFFER_BYTES
    i.block = False


cdef inline bint intakeblock_is_due(const Intake* i) noexcept nogil:
    """Whether there is something that can be written past the cache, and no more to
    wait for."""
    return i.block and i.drained and i.buffer_n >= INTAKEBLOCK_ALIGNMENT


cdef inline uint32_t intakeblock_piece(Intake* i) noexcept nogil:
    """Bytes to be written at once, and whether past the cache."""
    cdef uint32_t beyond = <uint32_t>(
        (i.offset + i.taken) & (INTAKEBLOCK_ALIGNMENT - 1))
    i.past_cache = False
    if not i.block or i.direct_fd < 0:
        return i.buffer_n
    if beyond:  # once: from then on it is aligned
        return min(i.buffer_n, <uint32_t>INTAKEBLOCK_ALIGNMENT - beyond)
    if i.buffer_n < INTAKEBLOCK_ALIGNMENT:
        return i.buffer_n
    i.past_cache = True
    return i.buffer_n & ~<uint32_t>(INTAKEBLOCK_ALIGNMENT - 1)
