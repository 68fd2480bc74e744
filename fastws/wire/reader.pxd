# cython: language_level=3
"""Frames to messages (RFC 6455 sections 5.4 and 5.6), within limits."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastws.wire.bounds cimport Bounds
from fastws.wire.deflate cimport Compression
from fastws.wire.frames cimport EXC, Done, Header, Output, Utf8State, flag
from fastws.wire.inbox cimport Inbox


cdef enum Phase:
    OPEN                # frames go both ways
    CLOSE_SENT          # our close frame is out, the peer's is awaited
    CLOSE_RECEIVED      # the peer's close frame is here, our reply is due
    FAILED              # the peer broke the rules, our close frame is due
    CLOSED              # nothing more is sent, and what comes is not looked at


cdef class MessageReader:
    # Configuration.
    cdef Bounds bounds
    cdef readonly Compression compression
    cdef flag is_server
    cdef public flag raw                # text is delivered as the bytes of its UTF-8

    cdef readonly uint16_t close_code   # how it ended: the peer's code, or ours if we failed it
    cdef readonly str close_reason
    cdef Phase phase

    # The frame that is being read. `header` collects one that is cut by the end of a read.
    cdef uint8_t header[14]
    cdef uint8_t header_size
    cdef flag in_frame
    cdef uint8_t frame_first
    cdef uint8_t message_opcode         # 0: between messages
    cdef flag message_compressed
    cdef uint8_t control_size
    cdef uint32_t frame_key             # rotated as the payload is consumed
    cdef size_t frame_left
    cdef bytes control                  # payload of an unfinished control frame

    # The message that is being read. `buffer` is an over-long bytes object, owned, with
    # `message_size` bytes in use; nobody else sees it before it is cut to size.
    cdef PyObject *buffer
    cdef size_t message_size
    cdef size_t wire_size
    cdef uint32_t tiny_fragments
    cdef Utf8State utf8
    cdef uint32_t messages              # completed so far: tells one slow message from many
    cdef uint32_t payloads              # their bytes, modulo 2^32

    cdef readonly Inbox inbox

    cdef Done feed(self, uint8_t *data, size_t n, Output out, bint blocked) except EXC
    cdef Done on_control(
        self, uint8_t opcode, const uint8_t *data, size_t n, Output out, bint blocked
    ) except EXC
    cdef Done fail(self, int code, str reason) except EXC
    cdef bint in_message(self) noexcept
    cdef void forget_message(self) noexcept

    cdef Py_ssize_t _read_header(self, uint8_t *data, size_t n) except -2
    cdef bint _begin_frame(self, Header *header, size_t header_size) except -1
    cdef bint _admit(self, uint8_t first, size_t header_size, uint64_t length) except -1
    cdef bint _admit_control(self, uint8_t first, uint8_t opcode, uint64_t length) except -1
    cdef Done _read_payload(self, uint8_t *data, size_t n) except EXC
    cdef uint8_t *_reserve(self, size_t n) except NULL
    cdef Done _end_message(self) except EXC
    cdef Done _inflate(self, uint8_t *data, size_t n, uint8_t opcode) except EXC
    cdef Done _deliver(self, uint8_t opcode, uint8_t *data, size_t n, uint32_t key) except EXC
    cdef Done _push(self, object payload, uint8_t opcode, size_t n) except EXC
    cdef Done _read_control(self, uint8_t *data, size_t n, Output out, bint blocked) except EXC
