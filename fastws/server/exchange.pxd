# cython: language_level=3
"""Messages between an app and its client: as ASGI events, and past them."""

from libc.stdint cimport uint8_t

from fastws.aio.endpoint cimport Endpoint
from fastws.wire.frames cimport EXC, Done, flag


cdef enum Stage:
    CONNECTING
    DENYING
    OPEN
    CLOSED
    ENDED


cdef class Messages:
    cdef Exchange source
    cdef uint8_t opcode
    cdef object decode
    cdef object otherwise
    cdef flag failed                # `decode` has, and `otherwise` has given nothing since

    cdef object read(self, uint8_t opcode, object payload)


cdef class Exchange(Endpoint):
    cdef Stage stage
    cdef flag connect_taken
    cdef flag resting               # until the next turn of the loop there is nothing to take
    cdef uint8_t disconnects
    cdef uint8_t told               # that it is over

    cdef list _take_all(self)
    cdef object _take_disconnect(self, object form)
    cdef bint _has_been_told(self)
    cdef object refused(self, error)
    cdef Done _send_message(self, event) except EXC
