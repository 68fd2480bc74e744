# cython: language_level=3
"""One WebSocket connection, without its I/O (RFC 6455 sections 5.4 to 7)."""

from libc.stdint cimport uint8_t, uint32_t

from fastws.wire.frames cimport EXC, Done, Output, flag
from fastws.wire.reader cimport MessageReader, Phase


cdef class Connection(MessageReader):
    cdef public flag observe_control    # pings and pongs are delivered, too
    cdef readonly flag close_received
    cdef flag closed_by_peer            # its close frame came before ours
    cdef flag close_reported
    cdef readonly uint32_t controls     # pings and pongs received so far
    cdef bytes held_pong                # the newest ping's payload, while output is blocked
    cdef bytes last_pong                # the newest pong's payload; whoever looks takes it away
    cdef Output out                     # for users of the Python API; made when first needed

    cdef Done write_message(
        self, uint8_t opcode, const uint8_t *data, size_t n, bint compress, Output out
    ) except EXC
    cdef Done write_control(
        self, uint8_t opcode, const uint8_t *data, size_t n, Output out
    ) except EXC
    cdef Done write_close(self, int code, str reason, Output out) except EXC
    cdef Done finish(self, Output out) except EXC
    cdef bint may_send(self) noexcept

    cdef Done _receive_close(self, const uint8_t *data, size_t n) except EXC
    cdef Done _write_frame(
        self, uint8_t first, const uint8_t *data, size_t n, Output out
    ) except EXC
    cdef Done _write_close_frame(self, int code, str reason, Output out) except EXC
    cdef Output _output(self)
