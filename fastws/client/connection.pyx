# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""One WebSocket as a client has it: the endpoint, behind the client's opening handshake."""

from asyncio import timeout as give_up_after

from fastws.aio.awaitables import SENT, failed
from fastws.errors import Disconnected, HandshakeError
from fastws.wire.connection import Role

from libc.stdint cimport uint8_t

from fastws.aio.awaitables cimport Receive, receive_from
from fastws.aio.endpoint cimport Endpoint
from fastws.aio.hub cimport hub_of
from fastws.wire.connection cimport Connection
from fastws.wire.deflate cimport Compression
from fastws.wire.frames cimport DONE, EXC, Done
from fastws.wire.reader cimport Phase


cdef class ClientConnection(Endpoint):
    cdef object opening             # until the handshake is over
    cdef object opened
    cdef readonly str subprotocol
    cdef readonly list response_headers

    def __init__(self, opening, opened, loop):
        self.opening = opening
        self.opened = opened
        self.hub = hub_of(loop)

    # The handshake.

    def connection_made(self, transport):
        Endpoint.connection_made(self, transport)
        transport.write(self.opening.request)

    cdef Done early(self, uint8_t *data, size_t n) except EXC:
        if self.opening is None:
            return DONE
        try:
            agreement = self.opening.receive(data[:n])
        except HandshakeError as error:
            self._end_opening(error)
            return DONE
        if agreement is not None:
            self._begin(agreement)
        return DONE

    cdef Done _begin(self, agreement) except EXC:
        cdef Compression compression = None
        if agreement.params is not None:
            compression = Compression(agreement.params, self.opening.deflate, False)
        self.subprotocol = agreement.subprotocol
        self.response_headers = agreement.headers
        self.open(Connection(Role.CLIENT, self.opening.limits, compression))
        self._end_opening(None)
        if agreement.rest:
            Endpoint.data_received(self, agreement.rest)
        return DONE

    cdef Done _end_opening(self, error) except EXC:
        opened, self.opening, self.opened = self.opened, None, None
        if opened.done():
            return DONE
        if error is None:
            opened.set_result(None)
        else:
            opened.set_exception(error)
        return DONE

    cdef Done on_lost(self) except EXC:
        if self.opening is not None:
            self._end_opening(self.opening.refusal() or Disconnected())
        return DONE

    # Receiving.

    def recv(self, timeout=None):
        """Receives the next message: text as str, binary as bytes."""
        if timeout is not None:
            return self._recv_within(timeout)
        return self._receive(False)

    async def _recv_within(self, timeout):
        async with give_up_after(timeout):
            return await self._receive(False)

    def __aiter__(self):
        return self

    def __anext__(self):
        return self._receive(True)

    cdef Receive _receive(self, bint iterating):
        return receive_from(self, True if iterating else None)

    cdef bint has_next(self) noexcept:
        return self.lost or self.connection.inbox.count > 0 or self._is_over()

    cdef object take_next(self, object iterating):
        cdef uint8_t opcode = 0
        if self.connection.inbox.count:
            message = self.connection.inbox.pop(&opcode)
            if self.reading_paused:
                self.resume_if_room()
            return message
        # The caller has dealt with all that came before: now the close frame may go out.
        self._finish()
        if iterating is not None:
            raise StopAsyncIteration
        raise self.disconnected()

    cdef bint _is_over(self) noexcept:
        """Tells whether how it ended is known: after our close frame, that takes the peer's."""
        return self.connection.phase > Phase.CLOSE_SENT

    # Sending.

    def send(self, message, bint compress=True):
        """Sends a str as text, bytes as binary; acts at once, and gives something to await."""
        try:
            if self.blocked and self.is_full():
                return self._send_later(message, compress)
            self._send_message(message, compress)
        except Exception as error:
            return failed(error)
        return SENT

    async def _send_later(self, message, bint compress):
        """Waits until the server has read enough of what it was sent."""
        await self.wait_for_room()
        self._send_message(message, compress)

    cdef Done _send_message(self, message, bint compress) except EXC:
        if self.lost or not self.connection.may_send():
            raise self.disconnected()
        return self.write_object(message, compress)

    # Closing.

    async def close(self, code=1000, reason=""):
        """Closes the connection, and waits for its end."""
        self.begin_close(code, reason)
        # Not longer than `Limits.close_timeout`: then the sweep aborts it.
        while not self.lost:
            await self.wait_for_room()

    @property
    def close_code(self):
        return self.closing()[0] if self.lost or self._is_over() else None

    @property
    def close_reason(self):
        return self.closing()[1] if self.lost or self._is_over() else None

    @property
    def compression(self):
        cdef Compression compression = self.connection.compression
        return None if compression is None else compression.params
