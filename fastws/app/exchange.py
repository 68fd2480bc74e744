"""Messages between a handler and its client: receiving, sending, closing."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Generic, NoReturn, TypeVar

from fastws.app.answer import check_code, json_writer, shortened
from fastws.app.bucket import Bucket
from fastws.app.counters import CountedEvents, Counters, size_of
from fastws.app.events import EVENTS, Close, SocketEvent
from fastws.app.handshake import Handshake, State
from fastws.app.messages import BadMessage, Codec
from fastws.app.portable import (
    BINARY,
    TEXT,
    Receive,
    Scope,
    Send,
    let_others_go_first,
    portable_extension,
)
from fastws.closing import CloseCode
from fastws.errors import Disconnected, ProtocolError
from fastws.limits import Limits
from fastws.rooms import Member

M = TypeVar("M")

# Nobody looks at what is counted outside of an App.
_UNSEEN = Counters()
_PLAIN_TYPES = (str, bytes, bytearray, memoryview)


@cache
def server_limits() -> Limits:
    """Gives the limits that the environment sets, for what the server does not see to."""
    return Limits.read(os.environ)


class Exchange(Handshake, Generic[M]):
    """Messages between a handler and its client, on any ASGI server."""

    __slots__ = (
        "__weakref__",
        "_bad_messages",
        "_bucket",
        "_connection",
        "_counters",
        "_events",
        "_extension",
        "_limits",
        "_max_size",
        "_member",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        codecs: Sequence[Codec],
        limits: Limits | None,
    ) -> None:
        super().__init__(scope, receive, send, codecs, limits)
        self._limits = limits or server_limits()
        self._counters = _UNSEEN
        self._events: CountedEvents | None = None
        if self._native is None:
            self._events = CountedEvents(receive, send, _UNSEEN.portable)
            self._receive, self._send = self._events.receive, self._events.send
        self._extension = self._native or portable_extension(self._receive, self._send)
        self._connection: Any = self._extension["connection"]
        self._send_text = self._connection.send_text
        self._bad_messages = 0
        self._bucket = Bucket.for_limits(self._limits)
        # Our server sees to it before it receives all of a message; others have their own limit.
        self._max_size = None if limits is None or self._native else limits.max_message_size
        # The same connection as rooms see it, once it has joined one.
        self._member: Member | None = None

    def count_for(self, counters: Counters) -> None:
        """Says where things are counted: of an `App`, before the answer to the handshake."""
        self._counters = counters
        if self._events is None:
            counters.server = self._extension["counters"]
        else:
            self._events.counters = counters.portable
            counters.server = counters.portable

    # Receiving.

    def __aiter__(self) -> AsyncIterator[M]:
        """Iterates over the messages, until the connection is over.

        A message that cannot be read is answered with an `Error` and not given.

        Raises:
            ProtocolError: too many messages in a row could not be read, or they come too fast;
                the connection is closed.
        """
        if self.state is not State.OPEN:
            self._expect_accepted("receive")
            return self._nothing()
        codec = self.codec
        if self._bucket is not None or self._max_size is not None or self._bad_messages:
            return self._connection.messages(self._read)  # type: ignore[no-any-return]
        if codec is None:
            return self._connection.messages()  # type: ignore[no-any-return]
        opcode = BINARY if codec.binary else TEXT
        # A call for each message would cost as much as reading it (benchmarks, typed).
        return self._connection.messages(self._read, opcode, codec.decode_raw)  # type: ignore[no-any-return]

    async def receive(self) -> M:
        """Receives the next message.

        Raises:
            Disconnected: the connection is over; nothing more will come.
            ProtocolError: as in iterating.
        """
        async for message in self:
            return message
        raise Disconnected(*self._connection.closing())

    async def events(self) -> AsyncIterator[SocketEvent]:
        """Iterates over all that the client does: text, binary, pings, pongs, and the close.

        Pings are answered by the server all the same. Other servers than ours show no pings and
        pongs.
        """
        self._expect_accepted("receive")
        if self.state is State.OPEN:
            self._connection.observe_control = True
            async for event in self._connection.messages(self._event):
                yield event
        code, reason, _ = self._connection.closing()
        yield Close(code, reason)

    def _event(self, opcode: int, payload: Any) -> SocketEvent:
        if opcode <= BINARY:  # for the others the server has a rate
            self._hold_to_limits(size_of(payload))
        return EVENTS[opcode](payload)

    def _read(self, opcode: int, payload: Any) -> Any:
        """Gives what a message says, or NotImplemented if that cannot be read."""
        if opcode > BINARY:
            return NotImplemented
        self._hold_to_limits(size_of(payload))
        codec = self.codec
        if codec is None:
            return payload
        try:
            if codec.binary is not (opcode == BINARY):
                kind = "binary" if codec.binary else "text"
                raise BadMessage("malformed", f"{codec.subprotocol} comes as {kind} messages")
            message = codec.decode(payload)
        except BadMessage as bad:
            self._refuse(bad)
            return NotImplemented
        self._bad_messages = 0
        return message

    def _hold_to_limits(self, size: int) -> None:
        """Ends the connection if a message is too large or comes too soon."""
        if self._max_size is not None and size > self._max_size:
            reason = f"a message has {size} bytes, the limit is {self._max_size}"
            self._fail(CloseCode.MESSAGE_TOO_BIG, reason)
        if self._bucket is not None and not self._bucket.take(size):
            self._counters.rate_limited[self._bucket.exceeded] += 1
            self._fail(CloseCode.POLICY_VIOLATION, self._bucket.reason)

    def _refuse(self, bad: BadMessage) -> None:
        """Answers a message that cannot be read, and loses patience at some point."""
        self._bad_messages += 1
        self._counters.bad_messages[bad.code] += 1
        limit = self._limits.max_bad_messages
        if limit is not None and self._bad_messages >= limit:
            self._fail(CloseCode.POLICY_VIOLATION, f"{limit} messages in a row could not be read")
        data = self._encode(bad.reply())
        reply = data if self._binary else data.decode()
        # Without waiting: a client that does not read its answers is closed in the end, 1008.
        self._connection.send_prepared(self._extension["prepare"](reply))

    def _fail(self, code: int, reason: str) -> NoReturn:
        """Ends the connection for a fault of the client."""
        self.close_soon(code, reason)
        raise ProtocolError(code, reason)

    # Sending.

    def _send_any(self, message: Any) -> Awaitable[None]:
        """Sends what does not go the shortest way, see `Sender.send`."""
        if self.state is not State.OPEN:
            self._expect_accepted("send")
            return self._refuse_to_send()
        # What templates give is a subclass of str.
        if isinstance(message, _PLAIN_TYPES):
            binary = not isinstance(message, str)
        else:
            binary = self._binary
            message = self._encode(message)
        if self._member is None:
            # From here on there is a shorter way, until it joins a room.
            self._send_encoded = self._connection.send_binary if self._binary else self._send_text
            self._direct = True
        elif self._member.outbox is not None:
            return self._send_behind(self._member, message, binary)
        return self._connection.send_binary(message) if binary else self._send_text(message)

    async def _send_behind(self, member: Member, message: Any, binary: bool) -> None:
        """Sends behind what was published before, and has not gone out yet."""
        if binary:
            event = {"type": "websocket.send", "bytes": bytes(message)}
        else:
            text = message.decode() if isinstance(message, bytes) else message
            event = {"type": "websocket.send", "text": text}
        try:
            await member.send(event)
        except (OSError, RuntimeError):
            # Of the latter kind if it has been closed meanwhile.
            raise Disconnected(*self._connection.closing()) from None

    async def send_json(self, value: Any) -> None:
        """Sends anything that orjson can write, as JSON text.

        Raises:
            Disconnected: the connection is over.
            TypeError: orjson cannot write it.
        """
        await self.send(json_writer()(value).decode())

    async def ping(self) -> float:
        """Sends a ping; gives the seconds until the pong.

        Raises:
            Disconnected: the connection ended before.
            NotImplementedError: only our own server lets an app send pings.
        """
        self._expect_accepted("ping")
        return await self._connection.ping()  # type: ignore[no-any-return]

    @property
    def rtt(self) -> float:
        """Round-trip time of the last answered ping, the heartbeat's included; 0.0 before."""
        return self._connection.rtt  # type: ignore[no-any-return]

    @property
    def buffered(self) -> int:
        """Bytes that are sent, but not yet on their way; 0 on other servers than ours."""
        return self._connection.write_buffer_size  # type: ignore[no-any-return]

    # Closing.

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Starts the closing handshake; before the accept, answers 403. A second one is nothing.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: at most 123 bytes of UTF-8 reach the client.

        Raises:
            ValueError: that is no code to close with.
        """
        if self.state is State.CONNECTING:
            await self.deny(403, reason or "forbidden")
        elif self.state is State.OPEN:
            check_code(code)
            self.state = State.CLOSED
            await self._flush()
            self._connection.close(code, shortened(reason))
        await self._closed()

    async def _flush(self) -> None:
        """Waits for what was published before, as long as for the answer to a close frame."""
        member = self._member
        if member is not None and member.outbox is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.close_timeout):
                    await member.flush()

    def close_soon(self, code: int = 1000, reason: str = "") -> None:
        """Closes from where nothing can be awaited, at once; before the accept does nothing."""
        if self.state is State.OPEN:
            check_code(code)
            self.state = State.CLOSED
            self._connection.close(code, shortened(reason))

    async def _closed(self) -> None:
        """Waits until what `close_soon` has begun is sent."""
        if not self._native:
            await self._connection.closed(self._limits.close_timeout)

    def _expect_accepted(self, what: str) -> None:
        if self.state in (State.CONNECTING, State.ANSWERING):
            raise RuntimeError(f"{what}() {self.state.value}")

    async def _nothing(self) -> AsyncIterator[M]:
        """Is all that there is to receive after the end."""
        await let_others_go_first()
        return
        yield

    async def _refuse_to_send(self) -> NoReturn:
        await let_others_go_first()
        raise Disconnected(*self._connection.closing())
