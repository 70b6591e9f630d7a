"""Invariants of nogil code: a Cython ``assert`` would only print and go on."""


cdef extern from * nogil:
    """
    #include <stdio.h>
    #include <stdlib.h>

    #define ENGINE_FATAL(message) do {                                          \\
        fprintf(stderr, "penstock: fatal: %s:%d: %s\\n", __FILE__, __LINE__,    \\
                (message));                                                     \\
        abort();                                                                \\
    } while (0)
    #ifdef PENSTOCK_DEBUG
    #define ENGINE_ASSERT(x) do { if (!(x)) ENGINE_FATAL(#x); } while (0)
    #else
    #define ENGINE_ASSERT(x) do { (void)sizeof(x); } while (0)
    #endif
    """
    void ENGINE_ASSERT(bint condition)     # only with PENSTOCK_DEBUG
    void ENGINE_FATAL(const char* message)  # always
