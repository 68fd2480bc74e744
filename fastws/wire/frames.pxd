# cython: language_level=3
"""Frames (RFC 6455 section 5): the header, the mask, and the buffer that frames are written to."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "mask.h" nogil:
    uint32_t rotate_key "fastws_rotate_key" (uint32_t key, size_t n) noexcept
    bint unmask "fastws_unmask" (
        uint8_t *to, const uint8_t *source, size_t n, uint32_t key
    ) noexcept

    ctypedef struct Utf8State "fastws_utf8":
        uint8_t due
        uint8_t low
        uint8_t high

    bint utf8_feed "fastws_utf8_feed" (Utf8State *state, const uint8_t *data, size_t n) noexcept


# A truth value in one byte: the fields of connections add up, and `bint` is an int.
cdef extern from "stdbool.h":
    ctypedef bint flag "bool"


# What a function returns that is called for its effect: nothing to count references on.
cdef enum Done:
    DONE = 0
    EXC = -1


cdef enum:
    OP_CONTINUATION = 0x0
    OP_TEXT = 0x1
    OP_BINARY = 0x2
    OP_CLOSE = 0x8
    OP_PING = 0x9
    OP_PONG = 0xA

    FIN = 0x80
    RSV1 = 0x40
    RSV23 = 0x30
    OPCODE = 0x0F
    CONTROL = 0x08
    MASKED = 0x80

    MAX_HEADER = 14
    MAX_CONTROL = 125


cdef struct Header:
    uint8_t first      # FIN, RSV1-3, opcode
    bint masked
    uint32_t key       # in its order on the wire
    uint64_t length


cdef enum Parse:
    PARSE_MORE = 0          # the header goes on in bytes that have not come yet
    PARSE_NOT_MINIMAL = -1
    PARSE_TOO_LONG = -2     # the most significant bit of a 64-bit length is set


cdef class Output:
    """A growable run of bytes that frames are appended to.

    `data` belongs to the Output and moves when it grows: pointers into it live until the
    next `reserve`.
    """

    cdef uint8_t *data
    cdef size_t size
    cdef size_t capacity

    cdef uint8_t *reserve(self, size_t n) except NULL
    cdef Done append(self, const void *data, size_t n) except EXC
    cdef bytes take(self)
    cdef void release(self) noexcept


cdef int parse_header(const uint8_t *data, size_t n, Header *header) noexcept nogil
cdef size_t write_header(
    uint8_t *to, uint8_t first, uint64_t length, bint masked, uint32_t key
) noexcept nogil
cdef Done refill_keys() except EXC
cdef uint32_t random_key() except? 0
