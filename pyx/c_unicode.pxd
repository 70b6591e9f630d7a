"""Unicode: what the interpreter's own tables say. They are constant data, so that these
need no GIL."""

from libc.stdint cimport uint32_t


cdef extern from "Python.h" nogil:
    """
    /* As str.isprintable(): of a lone surrogate and what is not assigned, false. */
    #define unicode_is_printable(c) Py_UNICODE_ISPRINTABLE((Py_UCS4)(c))
    """
    bint unicode_is_printable(uint32_t c)
