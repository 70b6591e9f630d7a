"""Bits of a word that is not 0: builtins that gcc and clang share."""

from libc.stdint cimport uint64_t


cdef extern from * nogil:
    """
    #define word_lowest_bit(word) __builtin_ctzll(word)
    #define word_log2(word) (63 - __builtin_clzll(word))
    """
    int word_lowest_bit(uint64_t word)
    int word_log2(uint64_t word)
