# cython: language_level=3
"""One WebSocket over one asyncio transport, in either role."""

from libc.stdint cimport uint8_t, uint32_t

from fastws.aio.awaitables cimport Receivable
from fastws.wire.connection cimport Connection
from fastws.wire.frames cimport EXC, Done, Output
from fastws.wire.prepared cimport PreparedMessage


cdef class Bounds:
    """The limits that an endpoint looks at, as C numbers; one for all with the same Limits."""

    cdef readonly object limits
    cdef uint32_t queue_messages
    cdef size_t queue_size
    cdef size_t write_buffer
    cdef size_t unsent
    cdef uint32_t ping_rate         # 0: off, as for the times
    cdef double message_timeout
    cdef double ping_interval
    cdef double ping_timeout
    cdef double close_timeout
    cdef double shortest


cdef class Endpoint(Receivable):
    cdef object __weakref__
    cdef readonly object transport
    cdef readonly Connection connection     # None until the handshake is done
    cdef Bounds bounds
    cdef int fd                     # for direct writes; -1 with TLS, and once closing
    cdef bint is_server
    cdef bint read_by_loop          # never from within a call of the app, as TLS may

    # Writing. What is sent during a read goes to `out`; at other times to `pending`, a list
    # of whole frames. The transport buffers at most the rest of one frame: while it has that,
    # `blocked` is set and `pending` grows.
    cdef Output out
    cdef list pending
    cdef size_t pending_size
    cdef bint blocked
    cdef list senders               # futures of those who wait for room

    cdef bint reading_paused
    cdef bint lost
    cdef bint ended                 # TCP is being closed

    # What the sweep looks at.
    cdef bint heard                 # something came since the last sweep
    cdef double last_heard
    cdef double closing_since
    cdef double blocked_since
    cdef size_t blocked_size
    cdef double message_since
    cdef uint32_t message_mark

    # Pings: those on their way, by payload; and how many controls the peer sent, for its rate.
    cdef dict pings
    cdef uint32_t ping_count
    cdef double ping_sent           # by the heartbeat; 0: none on its way
    cdef readonly double rtt
    cdef uint32_t controls_seen
    cdef uint32_t controls_counted
    cdef double controls_since

    # For subclasses.
    cdef Done open(self, Connection connection) except EXC
    cdef Done early(self, uint8_t *data, size_t n) except EXC
    cdef Done on_failed(self) except EXC
    cdef Done on_lost(self) except EXC
    cdef Done read(self, uint8_t *data, size_t n) except EXC
    cdef Done write(self, uint8_t opcode, const uint8_t *data, size_t n, bint compress) except EXC
    cdef bint _write_large(self, uint8_t opcode, const uint8_t *data, size_t n) except -1
    cdef bint write_prepared(self, PreparedMessage message) except -1
    cdef Done write_object(self, object message, bint compress) except EXC
    cdef Done begin_close(self, int code, str reason) except EXC
    cdef Done fail(self, int code, str reason) except EXC
    cdef Done settle(self) except EXC
    cdef Done resume_if_room(self) except EXC
    cdef bint is_full(self) except -1
    cdef object wait_for_room(self)
    cdef object disconnected(self)

    cdef Output _begin_write(self)
    cdef Done _end_write(self, Output out) except EXC
    cdef Done _emit(self, Output out) except EXC
    cdef Done _send(self, const uint8_t *data, size_t n) except EXC
    cdef Done _queue(self, bytes frame) except EXC
    cdef size_t _send_pending(self) except? 0
    cdef Done _pause_if_full(self) except EXC
    cdef Done _end(self) except EXC
    cdef Done _on_controls(self) except EXC
    cdef Done _on_pong(self) except EXC
    cdef object _send_ping(self, object future)
    cdef Done _sweep_message(self, double now) except EXC
    cdef Done _sweep_ping(self, double now) except EXC
    cdef Done _let_senders_go(self) except EXC
