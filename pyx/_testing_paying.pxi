# Python's way to a client's buckets, beside engines and on the clock of a Simulation.

from libc.stdint cimport int64_t, uint32_t

from paying cimport (
    PAYING_QUANTUM_MAX_BYTES, Payer, payer_join, payer_leave, payer_quantum,
    payer_refund, payer_settle, payer_take,
)

PAYING_QUANTUM_MAX = PAYING_QUANTUM_MAX_BYTES


cdef class SimulatedPayer:
    cdef Simulation world
    cdef Payer payer

    def __cinit__(self, Simulation world, uint32_t row):
        self.world = world
        payer_join(&self.payer, &world.table, row, world.now_ns)

    def quantum(self):
        return payer_quantum(&self.payer)

    def take(self, int64_t n):
        return payer_take(&self.payer, n, self.world.now_ns)

    def refund(self, int64_t n):
        payer_refund(&self.payer, n)

    def settle(self, int64_t n):
        payer_settle(&self.payer, n, self.world.now_ns)

    def leave(self):
        payer_leave(&self.payer)
