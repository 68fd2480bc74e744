# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""The straight way to a WebSocket: the class for uvicorn's ``--http``.

Nearly every upgrade comes as the first request of its connection, whole, in one read. For that
one this class is all there is: the request is parsed once and handed to `WebSocketProtocol`,
with what came behind it. Whatever else comes is for `HttpRequests`, which is uvicorn's own
class with bounds.
"""

import os
from asyncio import get_event_loop

from fastws.errors import HandshakeError
from fastws.limits import Limits
from fastws.server.config import limits_for
from fastws.server.requests import HttpRequests, is_full, is_ours
from fastws.wire.handshake import find_head, parse_request

from fastws.aio.hub cimport Hub, hub_of

# A mistake in the environment ends the start of a server, not each of its connections.
Limits.read(os.environ)


cdef class HttpProtocol:
    cdef object __weakref__
    cdef object config
    cdef object server_state
    cdef object app_state
    cdef object limits
    cdef object transport
    cdef Hub hub

    def __init__(self, config, server_state, app_state, _loop=None):
        if not config.loaded:
            config.load()
        self.config = config
        self.server_state = server_state
        self.app_state = app_state
        self.limits = limits_for(config)
        self.hub = hub_of(_loop or get_event_loop())

    def connection_made(self, transport):
        self.transport = transport
        self.server_state.connections.add(self)
        if self.limits.handshake_timeout is not None:
            self.hub.set_deadline(self, self.limits.handshake_timeout)

    def data_received(self, data):
        protocol = self._upgrade(data)
        if protocol is None:
            protocol = HttpRequests(
                self.config, self.server_state, self.app_state, self.hub.loop
            )
            self._hand_over(protocol)
            protocol.data_received(data)

    def _upgrade(self, data):
        """Starts a WebSocket if the data begin with an acceptable upgrade."""
        ws_class = self.config.ws_protocol_class
        size = find_head(data)
        limits = self.limits
        if not 0 < size <= limits.max_header_size or not is_ours(ws_class):
            return None
        if is_full(self.server_state, limits):
            return None
        try:
            request = parse_request(data[:size], limits.max_header_count)
        except HandshakeError:
            return None
        protocol = ws_class(self.config, self.server_state, self.app_state, self.hub.loop)
        self._hand_over(protocol)
        protocol.begin(request, data[size:])
        return protocol

    def _hand_over(self, protocol):
        transport = self.transport
        self.connection_lost(None)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def connection_lost(self, error):
        self.hub.clear_deadline(self)
        self.server_state.connections.discard(self)
        self.transport = None

    def eof_received(self):
        """Lets the transport close itself."""
        return False

    def pause_writing(self):
        """Nothing is written here."""

    def resume_writing(self):
        """Nothing is written here."""

    def shutdown(self):
        """Called by uvicorn when the server shuts down."""
        self.transport.close()

    def on_deadline(self):
        """Called when nothing has come for too long."""
        self.transport.close()
