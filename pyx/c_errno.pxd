"""errno.h: what Cython's own declarations lack."""


cdef extern from "<errno.h>" nogil:
    enum:
        ECANCELED
