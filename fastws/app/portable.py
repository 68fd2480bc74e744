"""What our server's extension offers, over plain ASGI events: for every other server."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, NoReturn

from fastws.errors import Disconnected

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

TEXT, BINARY, PING, PONG = 1, 2, 9, 10


class PortableConnection:
    """A connection as `docs/extension.md` describes it, as far as ASGI events can tell.

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
        self._end = Disconnected()
        self._ended = False
        self._unsent: list[Event] = []
        self.observe_control = False

    async def messages(
        self,
        otherwise: Callable[[int, str | bytes], Any] | None = None,
        *_: Any,
    ) -> AsyncIterator[Any]:
        """Iterates over the messages, as the extension does, but all through `otherwise`."""
        while not self._ended:
            while self._unsent:
                # What was not waited for then is waited for now.
                with suppress(OSError):
                    await self._send(self._unsent.pop(0))
            event = await self._receive()
            if event["type"] != "websocket.receive":
                self._ended = True
                code = event.get("code") or 1005
                self._end = Disconnected(code, event.get("reason") or "", code != 1006)
                return
            text = event.get("text")
            found, payload = (BINARY, event["bytes"]) if text is None else (TEXT, text)
            # One way for all, since nothing is gained here by another.
            message = payload if otherwise is None else otherwise(found, payload)
            if message is not NotImplemented:
                yield message

    def send_prepared(self, message: str | bytes) -> bool:
        """Sends a message before the next one is received, without waiting for it now."""
        kind = "text" if isinstance(message, str) else "bytes"
        self._unsent.append({"type": "websocket.send", kind: message})
        return True

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
        try:
            await self._send(event)
        except OSError:
            raise self._end from None

    def closing(self) -> tuple[int, str, bool]:
        """Tells how it ended: the code, the reason, whether by the closing handshake."""
        return self._end.code, self._end.reason, self._end.clean

    async def ping(self) -> NoReturn:
        """ASGI has no ping.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("this server does not let an app send pings")


def portable_extension(receive: Receive, send: Send) -> dict[str, Any]:
    """Gives what ``scope["extensions"]["fastws"]`` is on our server."""
    return {"connection": PortableConnection(receive, send), "prepare": lambda payload: payload}
