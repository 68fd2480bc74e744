# cython: language_level=3
"""A WebSocket as an ASGI app sees it: the class for uvicorn's ``--ws``."""

from fastws.server.exchange cimport Exchange
from fastws.wire.deflate cimport Compression
from fastws.wire.frames cimport EXC, Done
from fastws.wire.handshake cimport UpgradeRequest


cdef class WebSocketProtocol(Exchange):
    cdef object config
    cdef object server_state
    cdef object app_state
    cdef object limits
    cdef UpgradeRequest request     # until it is answered
    cdef dict scope                 # once there is a request
    cdef bytearray early_bytes
    cdef object denial              # status and headers, until the first of the body
    cdef double expires             # when it has to make room; 0: never

    cdef object send(self, event)

    cdef _close_tcp(self)
    cdef Done _send_other(self, kind, event) except EXC
    cdef bint _client_has_gone(self)
    cdef _close(self, event)
    cdef _accept(self, event)
    cdef _take_early(self)
    cdef Compression _negotiate(self, list headers, bint wanted)
    cdef object _choose_subprotocol(self, list headers, event)
    cdef _start_denial(self, event)
    cdef _send_denial_body(self, event)
    cdef Done sweep(self, double now) except EXC
    cdef Done _count_end(self) except EXC
    cdef _note_refusal(self, str by, int status)
    cdef _log(self, outcome)
