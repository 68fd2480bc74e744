# cython: language_level=3
"""Frames to the socket, or to where they wait for it."""

from libc.stdint cimport uint8_t, uint32_t

from fastws.aio.awaitables cimport Receivable
from fastws.wire.connection cimport Connection
from fastws.wire.frames cimport EXC, Done, Output, flag


cdef inline void count_sent(Writer writer, size_t n) noexcept:
    """Counts a message with n bytes of payload, if it is a server's."""
    if writer.is_server:
        writer.hub.counters.messages_sent += 1
        writer.hub.counters.bytes_sent += n


cdef class Writer(Receivable):
    cdef readonly object transport
    cdef readonly Connection connection     # None until the handshake is done
    cdef int fd                     # for direct writes; -1 with TLS, and once closing
    cdef uint32_t shared_end        # not 0: what is pending is in `hub.shared`, up to here
    cdef flag is_server
    cdef flag lost
    cdef readonly flag blocked      # the transport has the rest of a frame

    cdef Output out                 # while a read lasts
    cdef list pending               # whole frames
    cdef size_t pending_size
    cdef public object on_writable  # called once, when all is sent, or nothing will be any more
    cdef double blocked_since
    cdef size_t blocked_size
    cdef object senders             # a deque of futures, of those who wait for room

    cdef Done end(self) except EXC
    cdef Done resume_if_room(self) except EXC

    cdef Done write(
        self, uint8_t opcode, const uint8_t *data, size_t n, bint compress
    ) except EXC
    cdef Done write_object(self, object message, bint compress) except EXC
    cdef bint is_full(self) except -1
    cdef object wait_for_room(self)
    cdef Done let_senders_go(self) except EXC
    cdef Done _tell_writable(self) except EXC

    cdef Output begin_write(self)
    cdef Done end_write(self, Output out) except EXC
    cdef Done emit(self, Output out) except EXC
    cdef Done queue(self, bytes frame) except EXC
    cdef bint share(self, uint32_t end, size_t n) except -1

    cdef bint _write_large(self, uint8_t opcode, const uint8_t *data, size_t n) except -1
    cdef Done _send(self, const uint8_t *data, size_t n) except EXC
    cdef Done _send_frames(self) except EXC
    cdef Done _send_some(self, Py_ssize_t *first) except EXC
    cdef Done _send_shared(self) except EXC
    cdef Done _copy_shared(self) except EXC
