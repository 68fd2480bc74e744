# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Frames (RFC 6455 section 5): the header, the mask, and the buffer that frames are written to."""

import os
from enum import IntEnum

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy


class Opcode(IntEnum):
    """The opcodes of RFC 6455 section 5.2."""

    CONTINUATION = OP_CONTINUATION
    TEXT = OP_TEXT
    BINARY = OP_BINARY
    CLOSE = OP_CLOSE
    PING = OP_PING
    PONG = OP_PONG


cdef int parse_header(const uint8_t *data, size_t n, Header *header) noexcept nogil:
    """Reads a frame header from the first n bytes; returns its size, or a Parse code."""
    cdef size_t size = 2
    cdef uint64_t length
    cdef int i
    if n < 2:
        return PARSE_MORE
    header.first = data[0]
    header.masked = (data[1] & MASKED) != 0
    length = data[1] & 0x7F
    if length == 126:
        size = 4
        if n < size:
            return PARSE_MORE
        length = (<uint64_t>data[2] << 8) | data[3]
        # 5.2: "the minimal number of bytes MUST be used to encode the length"
        if length < 126:
            return PARSE_NOT_MINIMAL
    elif length == 127:
        size = 10
        if n < size:
            return PARSE_MORE
        length = 0
        for i in range(2, 10):
            length = (length << 8) | data[i]
        # 5.2: "the most significant bit MUST be 0"
        if length >> 63:
            return PARSE_TOO_LONG
        if length < 65536:
            return PARSE_NOT_MINIMAL
    header.length = length
    if header.masked:
        if n < size + 4:
            return PARSE_MORE
        memcpy(&header.key, data + size, 4)
        size += 4
    else:
        header.key = 0
    return <int>size


cdef size_t write_header(
    uint8_t *to, uint8_t first, uint64_t length, bint masked, uint32_t key
) noexcept nogil:
    """Writes a frame header, at most MAX_HEADER bytes; returns its size."""
    cdef size_t size
    cdef int i
    cdef uint8_t mask_bit = MASKED if masked else 0
    to[0] = first
    if length <= 125:
        to[1] = mask_bit | <uint8_t>length
        size = 2
    elif length <= 0xFFFF:
        to[1] = mask_bit | 126
        to[2] = <uint8_t>(length >> 8)
        to[3] = <uint8_t>length
        size = 4
    else:
        to[1] = mask_bit | 127
        for i in range(8):
            to[2 + i] = <uint8_t>(length >> (56 - 8 * i))
        size = 10
    if masked:
        memcpy(to + size, &key, 4)
        size += 4
    return size


# 10.3: a masking key "MUST NOT be predictable", so keys come from the operating system, a
# thousand at a time.
cdef bytes _keys = b""
cdef Py_ssize_t _keys_used = 0


cdef Done refill_keys() except EXC:
    """Makes sure of the next key. Reading from the system lets other threads run meanwhile."""
    global _keys, _keys_used
    if _keys_used + 4 > len(_keys):
        _keys = os.urandom(4096)
        _keys_used = 0
    return DONE


cdef uint32_t random_key() except? 0:
    """Gives a masking key that nobody can predict."""
    global _keys_used
    cdef uint32_t key
    refill_keys()
    memcpy(&key, PyBytes_AS_STRING(_keys) + _keys_used, 4)
    _keys_used += 4
    return key


cdef class Output:
    def __dealloc__(self):
        free(self.data)

    cdef uint8_t *reserve(self, size_t n) except NULL:
        """Makes room for n more bytes and returns where they go; the caller adds to `size`."""
        cdef size_t capacity
        cdef uint8_t *data
        if n > self.capacity - self.size:
            if n > (<size_t>1 << 62) - self.size:
                raise MemoryError()
            capacity = max(2 * self.capacity, self.size + n, <size_t>256)
            data = <uint8_t *>realloc(self.data, capacity)
            if data == NULL:
                raise MemoryError()
            self.data = data
            self.capacity = capacity
        return self.data + self.size

    cdef Done append(self, const void *data, size_t n) except EXC:
        memcpy(self.reserve(n), data, n)
        self.size += n
        return DONE

    cdef bytes take(self):
        """Returns everything written so far and starts again; a large buffer is given back."""
        cdef bytes taken = PyBytes_FromStringAndSize(<char *>self.data, <Py_ssize_t>self.size)
        self.size = 0
        if self.capacity > 65536:
            self.release()
        return taken

    cdef void release(self) noexcept:
        free(self.data)
        self.data = NULL
        self.size = self.capacity = 0


def apply_mask(const uint8_t[::1] data not None, key: bytes) -> bytes:
    """XORs data with a masking key (RFC 6455 section 5.3); masks and unmasks alike.

    Args:
        data: any contiguous buffer of bytes.
        key: four bytes.

    Raises:
        ValueError: the key does not have four bytes.
    """
    cdef size_t n = data.shape[0]
    cdef bytes masked = PyBytes_FromStringAndSize(NULL, n)
    cdef uint32_t word
    if len(key) != 4:
        raise ValueError("a masking key has four bytes")
    memcpy(&word, PyBytes_AS_STRING(key), 4)
    if n:
        unmask(<uint8_t *>PyBytes_AS_STRING(masked), &data[0], n, word)
    return masked


def is_utf8(*parts) -> bool:
    """Tells whether the parts, one after the other, are the UTF-8 of some text (RFC 3629)."""
    cdef Utf8State state
    cdef const uint8_t[::1] view
    state.due = 0
    for part in parts:
        if part is None:
            raise TypeError("None has no bytes")
        view = part
        if view.shape[0] and not utf8_feed(&state, &view[0], view.shape[0]):
            return False
    return state.due == 0
