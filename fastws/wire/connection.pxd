# cython: language_level=3
"""One WebSocket connection, without its I/O (RFC 6455 sections 5.4 to 7)."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastws.wire.deflate cimport Compression
from fastws.wire.frames cimport EXC, Done, Header, Output, Utf8State


cdef enum Phase:
    OPEN                # frames go both ways
    CLOSE_SENT          # our close frame is out, the peer's is awaited
    CLOSE_RECEIVED      # the peer's close frame is here, our reply is due
    FAILED              # the peer broke the rules, our close frame is due
    CLOSED              # nothing more is sent, and what comes is not looked at


cdef struct Entry:
    PyObject *payload   # owned
    size_t size
    uint8_t opcode


cdef class Inbox:
    """Received messages, in a ring that grows; each entry owns a reference."""

    cdef Entry *entries
    cdef uint32_t capacity
    cdef uint32_t first
    cdef readonly uint32_t count
    cdef readonly size_t size           # bytes of all payloads

    cdef Done push(self, object payload, uint8_t opcode, size_t n) except EXC
    cdef object pop(self, uint8_t *opcode)
    cdef Done _grow(self) except EXC


cdef class Connection:
    # Configuration.
    cdef readonly object limits
    cdef readonly Compression compression
    cdef bint is_server
    cdef public bint raw                # text is delivered as the bytes of its UTF-8
    cdef public bint observe_control    # pings and pongs are delivered, too
    cdef size_t max_frame
    cdef size_t max_message
    cdef size_t max_wire
    cdef uint32_t max_tiny

    # The closing handshake.
    cdef Phase phase
    cdef readonly int close_code        # how it ended: the peer's code, or ours if we failed it
    cdef readonly str close_reason
    cdef readonly bint close_received

    # The frame that is being read. `header` collects one that is cut by the end of a read.
    cdef uint8_t header[14]
    cdef uint8_t header_size
    cdef bint in_frame
    cdef uint8_t frame_first
    cdef uint32_t frame_key             # rotated as the payload is consumed
    cdef size_t frame_left
    cdef bytes control                  # payload of an unfinished control frame
    cdef Py_ssize_t control_size

    # The message that is being read. `buffer` is an over-long bytes object, owned, with
    # `message_size` bytes in use; nobody else sees it before it is cut to size.
    cdef uint8_t message_opcode         # 0: between messages
    cdef bint message_compressed
    cdef PyObject *buffer
    cdef size_t message_size
    cdef size_t wire_size
    cdef uint32_t tiny_fragments
    cdef Utf8State utf8
    cdef uint32_t messages              # completed so far: tells one slow message from many
    cdef readonly uint32_t controls     # pings and pongs received so far

    cdef readonly Inbox inbox
    cdef Output out                     # for users of the Python API; made when first needed
    cdef bytes held_pong                # the newest ping's payload, while output is blocked

    cdef bytes last_pong                # the newest pong's payload; whoever looks takes it away
    cdef bint close_reported

    cdef Done feed(self, uint8_t *data, size_t n, Output out, bint blocked) except EXC
    cdef Done write_message(
        self, uint8_t opcode, const uint8_t *data, size_t n, bint compress, Output out
    ) except EXC
    cdef Done write_control(
        self, uint8_t opcode, const uint8_t *data, size_t n, Output out
    ) except EXC
    cdef Done write_close(self, int code, str reason, Output out) except EXC
    cdef Done finish(self, Output out) except EXC
    cdef Done fail(self, int code, str reason) except EXC
    cdef bint in_message(self) noexcept
    cdef bint may_send(self) noexcept

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
    cdef Done _end_control(self, const uint8_t *data, size_t n, Output out, bint blocked) except EXC
    cdef Done _receive_close(self, const uint8_t *data, size_t n) except EXC
    cdef Done _write_frame(
        self, uint8_t first, const uint8_t *data, size_t n, Output out
    ) except EXC
    cdef Done _write_close_frame(self, int code, str reason, Output out) except EXC
    cdef Output _output(self)
    cdef void _forget_message(self) noexcept
