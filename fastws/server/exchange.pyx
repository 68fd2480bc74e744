# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""Messages between an app and its client: as ASGI events, and past them.

What goes past them is `scope["extensions"]["fastws"]["connection"]`; see docs/extension.md.
"""

import logging
from asyncio import sleep

from fastws.aio.awaitables import SENT, failed
from fastws.errors import ClientDisconnected

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from fastws.aio.awaitables cimport receive_from
from fastws.aio.endpoint cimport Endpoint
from fastws.wire.connection cimport Connection
from fastws.wire.frames cimport EXC, OP_PING, OP_TEXT, Done
from fastws.wire.prepared cimport PreparedMessage
from fastws.wire.reader cimport Phase

logger = logging.getLogger("uvicorn.error")

cdef enum:
    # An app that receives a disconnect this often does not look at what it receives.
    MAX_DISCONNECTS = 100
    # An app that is told this often that it is over has a loop around what it does; from here on
    # that loop has to let others go first.
    MAX_TOLD = 200


# The form of all that waits, as a list.
cdef object MANY = object()
cdef object NOTHING = NotImplemented


cdef class Messages:
    """Iterates over messages in a form of one's own."""

    def __aiter__(self):
        return self

    def __anext__(self):
        return receive_from(self.source, self)

    cdef object read(self, uint8_t opcode, object payload):
        """Gives what a message is; NotImplemented for what is to be passed over."""
        if opcode == self.opcode and not self.failed:
            try:
                return self.decode(payload)
            except Exception:
                # What it was, `otherwise` finds out again.
                self.failed = True
        if self.otherwise is None:
            return payload if opcode < OP_PING else NOTHING
        found = self.otherwise(opcode, payload)
        if found is not NOTHING:
            self.failed = False
        return found


cdef class Exchange(Endpoint):
    # Receiving.

    def receive_many(self):
        """Receives all messages that wait, at least one.

        Returns:
            An awaitable of a list of (opcode, payload) pairs. It raises `ClientDisconnected`
            once the connection is over and everything is received.
        """
        return receive_from(self, MANY)

    def messages(self, otherwise=None, uint8_t opcode=0, decode=None):
        """Iterates over the messages, until the connection is over.

        Args:
            otherwise: called with the opcode and the payload of all messages that `decode` does
                not give; what it gives is given, unless it is NotImplemented. Without it, text
                and binary are given as they are.
            opcode: of the messages that go to `decode`.
            decode: called with a payload. If it raises, `otherwise` is called instead, also for
                what comes next, until that gives something again.
        """
        cdef Messages iterator = Messages.__new__(Messages)
        iterator.source = self
        iterator.opcode = opcode
        iterator.decode = decode
        iterator.otherwise = otherwise
        return iterator

    cdef bint has_next(self) noexcept:
        if self.resting:
            return False
        if not self.connect_taken or self.lost or self.stage >= Stage.CLOSED:
            return True
        if self.connection is None:
            return False
        return self.connection.inbox.count > 0 or self.connection.phase != Phase.OPEN

    cdef object take_next(self, object form):
        cdef Connection connection = self.connection
        cdef uint8_t opcode = 0
        if not self.connect_taken:
            self.connect_taken = True
            return {"type": "websocket.connect"}
        if connection is not None and connection.inbox.count:
            if form is MANY:
                taken = self._take_all()
            else:
                payload = connection.inbox.pop(&opcode)
                if form is None:
                    taken = _event(opcode, payload)
                else:
                    taken = (<Messages>form).read(opcode, payload)
            if self.reading_paused:
                self.resume_if_room()
            return taken
        return self._take_disconnect(form)

    cdef list _take_all(self):
        cdef Connection connection = self.connection
        cdef uint8_t opcode = 0
        cdef list taken = []
        while connection.inbox.count:
            payload = connection.inbox.pop(&opcode)
            taken.append((opcode, payload))
        return taken

    cdef object _take_disconnect(self, object form):
        if self.connection is not None:
            # The app has dealt with all that came before: now the close frame may go out.
            self._finish()
        if self._has_been_told():
            self.resting = True
            self.hub.loop.call_soon(self._go_on)
        if form is MANY:
            raise self.disconnected()
        if form is not None:
            raise StopAsyncIteration
        self.disconnects += 1
        if self.disconnects > MAX_DISCONNECTS:
            raise RuntimeError("receive() is called again and again after 'websocket.disconnect'")
        code, reason, _ = self.closing()
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    cdef bint _has_been_told(self):
        """Counts how often the app has learned that it is over; tells whether that is enough."""
        if self.told > MAX_TOLD:
            return True
        self.told += 1
        if self.told > MAX_TOLD:
            logger.error("an app goes on and on with a WebSocket that is over")
        return False

    def _go_on(self):
        self.resting = False
        self.wake(False)

    cdef object disconnected(self):
        code, reason, clean = self.closing()
        return ClientDisconnected(code, reason, clean)

    cdef object refused(self, error):
        """Gives an awaitable that raises."""
        if type(error) is ClientDisconnected and self._has_been_told():
            return _failed_later(error)
        return failed(error)

    # Sending.

    cdef Done _send_message(self, event) except EXC:
        if self.lost or not self.connection.may_send():
            raise self.disconnected()
        cdef dict fields = event if type(event) is dict else dict(event)
        message = fields.get("text")
        if message is None:
            message = fields.get("bytes")
            if isinstance(message, str) or message is None:
                raise TypeError("'websocket.send' takes text or bytes")
        elif not isinstance(message, str):
            raise TypeError("'websocket.send' takes text as a str")
        compress = self.connection.compression is None or fields.get("compress", True)
        return self.write_object(message, compress)

    def send_prepared(self, PreparedMessage message):
        """Sends a message that others get, too, without waiting.

        Returns:
            False if the connection is over, or ends now because its peer is `max_unsent` behind.
        """
        return self.stage == Stage.OPEN and self.write_prepared(message)

    def send_text(self, text, compress=True):
        """Sends a text message; text that is bytes already is not looked at.

        Returns:
            An awaitable: it waits while the client does not read, and raises
            `ClientDisconnected` once the connection is over.
        """
        if self.stage != Stage.OPEN or self.lost or not self.connection.may_send():
            return self.refused(self.disconnected())
        if self.blocked and self.is_full():
            return self._send_text_later(text, compress)
        if isinstance(text, bytes):
            self.write(
                OP_TEXT, <uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), compress
            )
        else:
            self.write_object(text, compress)
        return SENT

    async def _send_text_later(self, text, compress):
        await self.wait_for_room()
        await self.send_text(text, compress)

    def send_binary(self, data, compress=True):
        """Sends any buffer of bytes as a binary message; returns what `send_text` does."""
        if self.stage != Stage.OPEN or self.lost or not self.connection.may_send():
            return self.refused(self.disconnected())
        if self.blocked and self.is_full():
            return self._send_binary_later(data, compress)
        self.write_object(data, compress)
        return SENT

    async def _send_binary_later(self, data, compress):
        await self.wait_for_room()
        await self.send_binary(data, compress)

    def close(self, int code=1000, str reason=""):
        """Starts the closing handshake; does nothing if the connection is not open."""
        if self.stage == Stage.OPEN:
            self.begin_close(code, reason)
            self.stage = Stage.CLOSED

    @property
    def observe_control(self):
        return self.connection is not None and self.connection.observe_control

    @observe_control.setter
    def observe_control(self, bint wanted):
        self.connection.observe_control = wanted


async def _failed_later(error):
    await sleep(0)
    raise error


# Copying a dict and replacing a value is cheaper than inserting two.
cdef dict TEXT_EVENT = {"type": "websocket.receive", "text": None}
cdef dict BYTES_EVENT = {"type": "websocket.receive", "bytes": None}


cdef dict _event(uint8_t opcode, payload):
    cdef dict event
    if opcode == OP_TEXT:
        event = TEXT_EVENT.copy()
        event["text"] = payload
    elif opcode < OP_PING:
        event = BYTES_EVENT.copy()
        event["bytes"] = payload
    else:
        kind = "fastws.ping" if opcode == OP_PING else "fastws.pong"
        event = {"type": kind, "bytes": payload}
    return event
