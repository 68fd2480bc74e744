from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastws.aio.endpoint import Endpoint
from fastws.wire.prepared import PreparedMessage

class Exchange(Endpoint):
    """Messages between an app and its client: as ASGI events, and past them.

    Attributes:
        observe_control: pings and pongs are received, too.
    """

    observe_control: bool
    def receive_many(self) -> Awaitable[list[tuple[int, str | bytes]]]:
        """Receives all messages that wait, at least one.

        Returns:
            An awaitable of a list of (opcode, payload) pairs. It raises `ClientDisconnected`
            once the connection is over and everything is received.
        """
    def messages(
        self,
        otherwise: Callable[[int, str | bytes], Any] | None = None,
        opcode: int = 0,
        decode: Callable[[str | bytes], Any] | None = None,
    ) -> AsyncIterator[Any]:
        """Iterates over the messages, until the connection is over.

        Args:
            otherwise: called with the opcode and the payload of all messages that `decode` does
                not give; what it gives is given, unless it is NotImplemented. Without it, text
                and binary are given as they are.
            opcode: of the messages that go to `decode`.
            decode: called with a payload. If it raises, `otherwise` is called instead, also for
                what comes next, until that gives something again.
        """
    def send_text(self, text: str | bytes, compress: bool = True) -> Awaitable[None]:
        """Sends a text message; text that is bytes already is not looked at.

        Returns:
            An awaitable: it waits while the client does not read, and raises
            `ClientDisconnected` once the connection is over.
        """
    def send_binary(
        self, data: bytes | bytearray | memoryview, compress: bool = True
    ) -> Awaitable[None]:
        """Sends any buffer of bytes as a binary message; returns what `send_text` does."""
    def send_prepared(self, message: PreparedMessage) -> bool:
        """Sends a message that others get, too, without waiting.

        Returns:
            False if the connection is over, or ends now because its peer is `max_unsent` behind.
        """
    def close(self, code: int = 1000, reason: str = "") -> None:
        """Starts the closing handshake; does nothing if the connection is not open."""
