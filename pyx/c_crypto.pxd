"""libcrypto: one-shot SHA-256 (FIPS 180-4)."""


cdef extern from "<openssl/sha.h>" nogil:
    unsigned char* SHA256(const unsigned char* data, size_t n, unsigned char* out)
