# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""The straight way to a WebSocket: the class for uvicorn's ``--http``.

Nearly every upgrade comes as the first request of its connection, whole, in one read. So the
protocol of a new connection is a WebSocket already, which only has to see that request: it is
parsed once, and no other object takes over. Whatever else comes is for `HttpRequests`, which is
uvicorn's own class with bounds.
"""

import os

from fastws.errors import HandshakeError
from fastws.limits import Limits
from fastws.server.requests import HttpRequests, check_room
from fastws.wire.handshake import find_head, parse_request

from libc.stdint cimport uint8_t

from fastws.aio.endpoint cimport Endpoint
from fastws.server.protocol cimport WebSocketProtocol
from fastws.wire.frames cimport DONE, EXC, Done

# A mistake in the environment ends the start of a server, not each of its connections.
Limits.read(os.environ)

cdef enum:
    # Connections above the limit that are let in to be told so, by a 503. All others are not: their
    # file descriptors are for those who are here.
    TOLD = 32


cdef class HttpProtocol(WebSocketProtocol):
    def connection_made(self, transport):
        WebSocketProtocol.connection_made(self, transport)
        limit = self.limits.max_connections
        if limit is not None and len(self.server_state.connections) > limit + TOLD:
            self.hub.counters.count_refusal("server", 0)
            transport.abort()
        elif self.limits.handshake_timeout is not None:
            self.hub.set_deadline(self, self.limits.handshake_timeout)

    def on_deadline(self):
        """Called when no request has come, or when the answer to one does not go out."""
        if self.scope is None and not self.transport.is_closing():
            self._let_go()
        else:
            self.abort()

    def shutdown(self):
        """Called by uvicorn when the server shuts down."""
        if self.scope is None:
            self._let_go()
        else:
            WebSocketProtocol.shutdown(self)

    def drain(self, double window):
        """Ends what there is; who has not asked for anything yet may do so, and get an answer."""
        return self.scope is not None and WebSocketProtocol.drain(self, window)

    def _let_go(self):
        """Closes TCP; with TLS that waits for the client's answer, but not for ever."""
        self.hub.set_deadline(self, self.limits.close_timeout)
        self.transport.close()

    def data_received(self, data):
        """Takes bytes from transports that know no buffers."""
        Endpoint.data_received(self, data)

    cdef Done early(self, uint8_t *data, size_t n) except EXC:
        if self.scope is not None or self.lost:
            return WebSocketProtocol.early(self, data, n)
        self.hub.clear_deadline(self)
        head = data[:n]
        if not self._upgrade(head):
            self._hand_over(head)
        return DONE

    def _upgrade(self, data):
        """Starts the app if the data begin with an upgrade that may be answered with 101."""
        limits = self.limits
        size = find_head(data)
        if not 0 < size <= limits.max_header_size:
            return False
        if self.config.ws_protocol_class is not WebSocketProtocol:
            return False
        try:
            check_room(self.server_state, limits)
            request = parse_request(data[:size], limits.max_header_count)
        except HandshakeError:
            return False
        self.begin(request, data[size:])
        return True

    def _hand_over(self, data):
        """Leaves the connection to uvicorn's class, in the state in which that expects it."""
        transport = self.transport
        self.connection_lost(None)
        transport.set_write_buffer_limits()
        protocol = HttpRequests(self.config, self.server_state, self.app_state, self.hub.loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)
