# cython: language_level=3
"""permessage-deflate (RFC 7692): what was agreed, and the two streams behind it."""

from libc.stdint cimport uint8_t

from fastws.wire.frames cimport EXC, Done, Output

cdef extern from *:
    """
    #define ZLIB_CONST  /* zlib then promises not to write to its input */
    """

cdef extern from "zlib.h" nogil:
    ctypedef struct z_stream:
        const uint8_t *next_in
        unsigned int avail_in
        uint8_t *next_out
        unsigned int avail_out
        int data_type

    int deflateInit2(z_stream *, int level, int method, int bits, int memory, int strategy)
    int deflate(z_stream *, int flush)
    int deflateReset(z_stream *)
    int deflateEnd(z_stream *)
    unsigned long deflateBound(z_stream *, unsigned long size)
    int inflateInit2(z_stream *, int bits)
    int inflate(z_stream *, int flush)
    int inflateReset(z_stream *)
    int inflateEnd(z_stream *)
    int inflateGetDictionary(z_stream *, uint8_t *data, unsigned int *size)
    int inflateSetDictionary(z_stream *, const uint8_t *data, unsigned int size)

    int Z_OK
    int Z_STREAM_END
    int Z_BUF_ERROR
    int Z_MEM_ERROR
    int Z_NO_FLUSH
    int Z_SYNC_FLUSH
    int Z_DEFLATED
    int Z_DEFAULT_STRATEGY


cdef enum Inflated:
    INFLATED = 0
    INFLATED_TOO_BIG = 1
    INFLATED_CORRUPT = 2
    INFLATED_EXC = -1


cdef class Deflater:
    cdef z_stream stream
    cdef bint ready

    cdef Done compress(self, const uint8_t *data, size_t n, bint reset, Output out) except EXC


cdef class Inflater:
    cdef z_stream stream
    cdef bint ready

    cdef Inflated decompress(
        self, const uint8_t *data, size_t n, bint reset, size_t limit, Output out
    ) except INFLATED_EXC
    cdef int _run(self, size_t limit, size_t start, Output out) except -100
    cdef Done _restart(self) except EXC


cdef class Compression:
    """permessage-deflate as one connection agreed on it.

    Streams that keep no context between messages belong to the process, not to the
    connection; a connection pays for memory only with context takeover.
    """

    cdef Deflater deflater
    cdef Inflater inflater
    cdef bint reset_deflater
    cdef bint reset_inflater
    cdef readonly size_t threshold
    cdef readonly object params

    cdef Done compress(self, const uint8_t *data, size_t n, Output out) except EXC
    cdef Inflated decompress(
        self, const uint8_t *data, size_t n, size_t limit, Output out
    ) except INFLATED_EXC
