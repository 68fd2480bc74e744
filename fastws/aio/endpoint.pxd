# cython: language_level=3
"""One WebSocket over one asyncio transport, in either role."""

from libc.stdint cimport uint8_t, uint32_t

from fastws.aio.writer cimport Writer
from fastws.wire.connection cimport Connection
from fastws.wire.frames cimport EXC, Done, flag
from fastws.wire.prepared cimport PreparedMessage


cpdef finish_sending(transport)


cdef class Endpoint(Writer):
    cdef object __weakref__
    cdef flag read_by_loop          # never from within a call of the app, as TLS may
    cdef flag reading_paused
    cdef flag ended                 # TCP is being closed
    cdef flag heard                 # something came since the last sweep

    # What the sweep looks at.
    cdef uint32_t message_mark
    cdef double last_heard
    cdef double closing_since
    cdef double message_since

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
    cdef bint write_prepared(self, PreparedMessage message) except -1
    cdef Done begin_close(self, int code, str reason) except EXC
    cdef Done fail(self, int code, str reason) except EXC
    cdef Done settle(self) except EXC
    cdef object disconnected(self)

    cdef Done _pause_if_full(self) except EXC
    cdef Done _on_controls(self) except EXC
    cdef Done _on_pong(self) except EXC
    cdef object _send_ping(self, object future)
    cdef Done _sweep_message(self, double now) except EXC
    cdef Done _sweep_ping(self, double now) except EXC
