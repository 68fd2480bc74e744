from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Coroutine
from typing import Any

from fastws.aio.endpoint import Endpoint
from fastws.wire.deflate import Params
from fastws.wire.opening import Opening

class ClientConnection(Endpoint):
    """An open WebSocket; `fastws.connect` makes it.

    Iterating over it gives the messages, and ends when the connection is over, however that
    came; `close_code` tells. Whatever is received is bounded by `Limits`; beyond them the
    server gets the close code of its fault, and so does the caller.

    Attributes:
        subprotocol: the one that the server chose, or None.
        response_headers: those of the server's response; names in lower case.
        rtt: seconds that the latest answered ping took; 0.0 before the first.
    """

    subprotocol: str | None
    response_headers: list[tuple[bytes, bytes]]

    def __init__(self, opening: Opening, opened: Future[None], loop: AbstractEventLoop) -> None: ...
    def recv(self, timeout: float | None = None) -> Coroutine[Any, Any, str | bytes]:
        """Receives the next message: text as str, binary as bytes.

        A call that is cancelled, or whose time is up, has taken no message.

        Args:
            timeout: seconds to wait, or None to wait for ever.

        Raises:
            Disconnected: the connection is over, and all its messages are received.
            TimeoutError: no message came in time.
        """
    def __aiter__(self) -> ClientConnection: ...
    def __anext__(self) -> Awaitable[str | bytes]: ...
    def send(
        self, message: str | bytes | bytearray | memoryview, compress: bool = True
    ) -> Awaitable[None]:
        """Sends a str as text, bytes as binary.

        To await it waits while the server does not read and `Limits.max_write_buffer` bytes
        are unsent. What is sent in one turn of the event loop leaves in one piece.

        Args:
            message: what to send.
            compress: whether to compress it, if compression was agreed on.

        Raises:
            Disconnected: the connection is over, or closing.
            TypeError: the message is neither text nor bytes.
        """
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection, and waits for its end, at most `Limits.close_timeout`.

        Messages that are still under way are lost; those that came before can be received.

        Raises:
            ValueError: the code may not be sent (RFC 6455 section 7.4).
        """
    @property
    def close_code(self) -> int | None:
        """How the connection ended; None until it has. 1006: without a close frame."""
    @property
    def close_reason(self) -> str | None:
        """The reason that came or went with the close code; None until it is over."""
    @property
    def compression(self) -> Params | None:
        """How messages are compressed, or None."""
