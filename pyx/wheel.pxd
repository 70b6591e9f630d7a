"""Wheel: a hierarchical timing wheel with bitmaps (Varghese and Lauck, 1987).

Level 0 has 4096 slots of 1 ms, level 1 has 256 slots of 4096 ms; what is later waits in
the last slot of level 1 and is sorted in again. Arming and cancelling are O(1), finding
the next deadline scans at most 68 words. Timers are intrusive and keep the order in
which they were armed within a tick.

A timer never fires early, and at most one tick late.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from c_bits cimport word_lowest_bit
from c_time cimport NS_PER_MS, TIME_NEVER


cdef enum:
    WHEEL_NEAR = 4096          # slots of one tick
    WHEEL_FAR = 256            # slots of WHEEL_NEAR ticks
    WHEEL_SHIFT = 12
    WHEEL_DUE = WHEEL_NEAR + WHEEL_FAR   # the list of those that may fire
    WHEEL_SLOTS = WHEEL_DUE + 1
    WHEEL_WORDS = WHEEL_DUE // 64
    WHEEL_NEAR_WORDS = WHEEL_NEAR // 64

cdef struct Link:
    Link* next             # NULL: not armed
    Link* prev

cdef struct Timer:
    Link link              # first, so that a Link* in a list is a Timer*
    int64_t deadline_ns
    uint32_t owner         # whose it is, as ``kind`` says
    uint16_t slot          # which list it is in
    uint8_t kind

cdef struct Wheel:
    Link* slots            # heads of circular lists
    uint64_t occupied[WHEEL_WORDS]
    int64_t tick           # all ticks up to this one were handled
    uint32_t count         # armed timers


cdef inline int wheel_init(Wheel* w, int64_t now_ns) noexcept nogil:
    cdef uint32_t i
    w.slots = <Link*>calloc(WHEEL_SLOTS, sizeof(Link))
    if w.slots == NULL:
        return -ENOMEM
    for i in range(WHEEL_SLOTS):
        w.slots[i].next = w.slots[i].prev = &w.slots[i]
    for i in range(WHEEL_WORDS):
        w.occupied[i] = 0
    w.tick = now_ns // NS_PER_MS
    w.count = 0
    return 0


cdef inline void wheel_free(Wheel* w) noexcept nogil:
    free(w.slots)
    w.slots = NULL


cdef inline bint timer_armed(const Timer* t) noexcept nogil:
    return t.link.next != NULL


cdef inline void wheel_mark(Wheel* w, uint32_t slot, bint occupied) noexcept nogil:
    cdef uint64_t bit = <uint64_t>1 << (slot & 63)
    if slot == WHEEL_DUE:
        return
    if occupied:
        w.occupied[slot >> 6] |= bit
    else:
        w.occupied[slot >> 6] &= ~bit


cdef inline void wheel_cancel(Wheel* w, Timer* t) noexcept nogil:
    if t.link.next == NULL:
        return
    t.link.prev.next = t.link.next
    t.link.next.prev = t.link.prev
    if w.slots[t.slot].next == &w.slots[t.slot]:
        wheel_mark(w, t.slot, False)
    t.link.next = t.link.prev = NULL
    w.count -= 1


cdef inline void wheel_put(Wheel* w, Timer* t, uint32_t slot) noexcept nogil:
    cdef Link* head = &w.slots[slot]
    t.slot = <uint16_t>slot
    t.link.next = head
    t.link.prev = head.prev
    head.prev.next = &t.link
    head.prev = &t.link
    wheel_mark(w, slot, True)
    w.count += 1


cdef inline uint32_t wheel_slot_of(const Wheel* w, int64_t deadline_ns) noexcept nogil:
    cdef int64_t tick = deadline_ns // NS_PER_MS
    cdef int64_t ahead
    if tick * NS_PER_MS < deadline_ns:
        tick += 1
    if tick <= w.tick:
        return WHEEL_DUE
    if tick - w.tick < WHEEL_NEAR:
        return <uint32_t>(tick & (WHEEL_NEAR - 1))
    ahead = (tick >> WHEEL_SHIFT) - (w.tick >> WHEEL_SHIFT)
    if ahead >= WHEEL_FAR:
        ahead = WHEEL_FAR - 1
    return WHEEL_NEAR + <uint32_t>(
        ((w.tick >> WHEEL_SHIFT) + ahead) & (WHEEL_FAR - 1))


cdef inline void wheel_arm(Wheel* w, Timer* t, int64_t deadline_ns) noexcept nogil:
    """Also moves an armed timer. A deadline in the past fires at the next pop."""
    wheel_cancel(w, t)
    t.deadline_ns = deadline_ns
    wheel_put(w, t, wheel_slot_of(w, deadline_ns))


cdef inline int wheel_scan(
    const Wheel* w, uint32_t first, uint32_t last
) noexcept nogil:
    """The first occupied slot in [first, last], or -1."""
    cdef uint32_t word = first >> 6
    cdef uint64_t bits
    cdef uint32_t slot
    if first > last:
        return -1
    bits = w.occupied[word] & (~<uint64_t>0 << (first & 63))
    while True:
        if bits:
            slot = (word << 6) + <uint32_t>word_lowest_bit(bits)
            return <int>slot if slot <= last else -1
        word += 1
        if word > last >> 6:
            return -1
        bits = w.occupied[word]


cdef inline int64_t wheel_next_near(const Wheel* w) noexcept nogil:
    """The tick of the next occupied slot of level 0, or TIME_NEVER."""
    cdef uint32_t at = <uint32_t>(w.tick & (WHEEL_NEAR - 1))
    cdef int slot = wheel_scan(w, at + 1, WHEEL_NEAR - 1)
    if slot >= 0:
        return w.tick + (slot - at)
    slot = wheel_scan(w, 0, at)
    if slot >= 0:
        return w.tick + (slot + WHEEL_NEAR - at)
    return TIME_NEVER


cdef inline int64_t wheel_next_far(const Wheel* w) noexcept nogil:
    """The tick at which the next occupied slot of level 1 is sorted in."""
    cdef int64_t block = w.tick >> WHEEL_SHIFT
    cdef uint32_t at = <uint32_t>(block & (WHEEL_FAR - 1))
    cdef int slot = wheel_scan(w, WHEEL_NEAR + at + 1, WHEEL_DUE - 1)
    if slot >= 0:
        return (block + (slot - WHEEL_NEAR - at)) << WHEEL_SHIFT
    slot = wheel_scan(w, WHEEL_NEAR, WHEEL_NEAR + at)
    if slot >= 0:
        return (block + (slot - WHEEL_NEAR + WHEEL_FAR - at)) << WHEEL_SHIFT
    return TIME_NEVER


cdef inline bint wheel_has_due(const Wheel* w) noexcept nogil:
    return w.slots[WHEEL_DUE].next != &w.slots[WHEEL_DUE]


cdef inline const Timer* wheel_first_due(const Wheel* w) noexcept nogil:
    """Which timer the next pop will give, if one is known to be due; or NULL."""
    return <const Timer*>w.slots[WHEEL_DUE].next if wheel_has_due(w) else NULL


cdef inline int64_t wheel_next_ns(const Wheel* w) noexcept nogil:
    """When to pop next; TIME_NEVER when nothing is armed. May be early (to sort in a
    slot of level 1), never late."""
    cdef int64_t near, far
    if w.count == 0:
        return TIME_NEVER
    if wheel_has_due(w):
        return w.tick * NS_PER_MS
    near = wheel_next_near(w)
    far = wheel_next_far(w)
    return min(near, far) * NS_PER_MS


cdef inline void wheel_move_all(Wheel* w, uint32_t slot) noexcept nogil:
    """Sort the timers of a slot in again, as of the present tick."""
    cdef Link* head = &w.slots[slot]
    cdef Link* last = head.prev
    cdef Timer* t
    if last == head:
        return
    while True:
        t = <Timer*>head.next
        wheel_cancel(w, t)
        wheel_put(w, t, wheel_slot_of(w, t.deadline_ns))
        if &t.link == last:
            return


cdef inline void wheel_make_due(Wheel* w, uint32_t slot) noexcept nogil:
    """Hang the timers of a slot of level 0, whose tick has come, behind those that are
    due. They are not touched, for they may be many and in no cache; that they still
    name ``slot`` does no harm, because it is empty or has others."""
    cdef Link* head = &w.slots[slot]
    cdef Link* due = &w.slots[WHEEL_DUE]
    if head.next == head:
        return
    head.next.prev = due.prev
    due.prev.next = head.next
    head.prev.next = due
    due.prev = head.prev
    head.next = head.prev = head
    wheel_mark(w, slot, False)


cdef inline void wheel_advance(Wheel* w, int64_t target) noexcept nogil:
    """Go to the next tick up to ``target`` where something is due, or to it."""
    cdef int64_t next = min(wheel_next_near(w), wheel_next_far(w))
    cdef int64_t before = w.tick
    if next > target:
        w.tick = target
        return
    w.tick = next
    if next >> WHEEL_SHIFT != before >> WHEEL_SHIFT:
        wheel_move_all(
            w, WHEEL_NEAR + <uint32_t>((next >> WHEEL_SHIFT) & (WHEEL_FAR - 1)))
    wheel_make_due(w, <uint32_t>(next & (WHEEL_NEAR - 1)))


cdef inline Timer* wheel_pop(Wheel* w, int64_t now_ns) noexcept nogil:
    """A timer whose deadline has passed, disarmed; or NULL. Handlers that arm for the
    future do not keep a popping loop alive."""
    cdef int64_t target = now_ns // NS_PER_MS
    cdef Timer* t
    while not wheel_has_due(w):
        if w.tick >= target:
            return NULL
        wheel_advance(w, target)
    t = <Timer*>w.slots[WHEEL_DUE].next
    wheel_cancel(w, t)
    return t
