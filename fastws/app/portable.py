"""What our server's extension offers, over plain ASGI events: for every other server."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, NoReturn, Self, cast

from fastws.errors import Disconnected

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Any], Awaitable[None]]
Otherwise = Callable[[int, str | bytes], Any]

TEXT, BINARY, PING, PONG = 1, 2, 9, 10


class PortableConnection:
    """A connection as `docs/extension.md` describes it, as far as ASGI events can tell.

    Servers differ in how they say that it is over: what they raise, whether sending fails at
    all, whether there is one event of it for each who waits. Here it is one thing, once known.

    Attributes:
        rtt: always 0.0, since the server keeps its pings to itself.
        write_buffer_size: always 0, for the same reason.
        observe_control: is kept, but pings and pongs never come.
    """

    rtt = 0.0
    write_buffer_size = 0

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._end: tuple[int, str, bool] | None = None
        # One receives at a time, since there may be one event only that says it is over.
        self._turn = asyncio.Lock()
        self._receiver: asyncio.Task[Any] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._unsent: list[Event] = []
        self.observe_control = False

    # Receiving.

    def messages(self, otherwise: Otherwise | None = None, *_: Any) -> "Messages":
        """Iterates over the messages, as the extension does, but all through `otherwise`."""
        return Messages(self, otherwise)

    async def next(self) -> Event | None:
        """Receives the next message; None once it is over."""
        await self._turn.acquire()
        try:
            if self._unsent or self._end is not None:
                await self._send_unsent()
                if self._end is not None:
                    await let_others_go_first()
                    return None
            self._receiver = task = cast(asyncio.Task[Any], asyncio.current_task())
            requests = task.cancelling()
            event = await self._receive()
        except asyncio.CancelledError:
            # By `close`, since granian does not close while somebody receives. If somebody else
            # has cancelled it, too, that counts.
            if self._closing is None or self._receiver is None or task.uncancel() > requests:
                raise
            return None
        finally:
            self._receiver = None
            self._turn.release()
        if event["type"] == "websocket.receive":
            return event
        self._end = self._end or end_of(event)
        return None

    async def _send_unsent(self) -> None:
        """Waits now for what was not waited for when it was sent."""
        while self._unsent and self._end is None:
            try:
                await self.send(self._unsent[0])
            except Disconnected:
                self._unsent.clear()
            else:
                del self._unsent[0]

    # Sending.

    def send_prepared(self, message: str | bytes) -> bool:
        """Sends a message before the next one is received, without waiting for it now."""
        kind = "text" if isinstance(message, str) else "bytes"
        self._unsent.append({"type": "websocket.send", kind: message})
        return self._end is None

    async def send_text(self, text: str | bytes, compress: bool = True) -> None:
        """Sends a text message; waits if the server does.

        Raises:
            Disconnected: the connection is over.
        """
        text = text.decode() if isinstance(text, bytes) else text
        await self.send({"type": "websocket.send", "text": text})

    async def send_binary(
        self, data: bytes | bytearray | memoryview, compress: bool = True
    ) -> None:
        """Sends a binary message, as `send_text` does."""
        await self.send({"type": "websocket.send", "bytes": bytes(data)})

    async def send(self, event: Event) -> None:
        """Sends an event; whatever a server raises after the end is `Disconnected` here."""
        if self._end is not None:
            await let_others_go_first()
            raise Disconnected(*self._end)
        try:
            await self._send(event)
        except (OSError, RuntimeError):
            await let_others_go_first()
            # Of the latter kind are: uvicorn's after it has closed for a fault of the peer, and
            # granian's in any case.
            raise Disconnected(*self.closing()) from None

    async def ping(self) -> NoReturn:
        """ASGI has no ping.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("this server does not let an app send pings")

    # Closing.

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Starts the closing handshake, and ends receiving; does nothing if it is over."""
        if self._end is not None:
            return
        self._end = code, reason, True
        self._closing = asyncio.get_running_loop().create_task(self._send_close(code, reason))
        if self._receiver is not None:
            self._receiver.cancel()

    async def _send_close(self, code: int, reason: str) -> None:
        # It may be over already, which each server says in its own way.
        with suppress(Exception):
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def closed(self, patience: float) -> None:
        """Waits until what `close` has begun is sent; gives up after so many seconds."""
        if self._closing is not None:
            # Also if this is cancelled, it goes on.
            await asyncio.wait([self._closing], timeout=patience)
            self._closing.cancel()

    def closing(self) -> tuple[int, str, bool]:
        """Tells how it ended: the code, the reason, whether by the closing handshake."""
        return self._end or (1006, "", False)


class Messages:
    """Iterates over messages; may be left and begun again without losing one."""

    __slots__ = ("_connection", "_otherwise")

    def __init__(self, connection: PortableConnection, otherwise: Otherwise | None) -> None:
        self._connection = connection
        self._otherwise = otherwise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while (event := await self._connection.next()) is not None:
            text = event.get("text")
            found, payload = (BINARY, event["bytes"]) if text is None else (TEXT, text)
            # One way for all, since nothing is gained here by another.
            message = payload if self._otherwise is None else self._otherwise(found, payload)
            if message is not NotImplemented:
                return message
        raise StopAsyncIteration


def end_of(event: Event) -> tuple[int, str, bool]:
    """Reads a disconnect event: the code, the reason, whether by the closing handshake."""
    code: int = event.get("code") or 1005
    if code == 1005 and "reason" not in event:
        # uvicorn's word for a client that has vanished; with a close frame there is a reason,
        # if an empty one.
        code = 1006
    return code, event.get("reason") or "", code != 1006


async def let_others_go_first() -> None:
    """Keeps an app that goes on and on after the end from holding up the whole process."""
    await asyncio.sleep(0)


def portable_extension(receive: Receive, send: Send) -> dict[str, Any]:
    """Gives what ``scope["extensions"]["fastws"]`` is on our server."""
    return {"connection": PortableConnection(receive, send), "prepare": lambda payload: payload}
