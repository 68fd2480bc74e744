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
    cdef uint8_t disconnects

    cdef list _take_all(self)
    cdef object _take_disconnect(self, object form)
    cdef Done _send_message(self, event) except EXC
