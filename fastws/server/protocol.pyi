from asyncio import AbstractEventLoop
from collections.abc import Awaitable
from typing import Any

import uvicorn

from fastws.aio.endpoint import Endpoint
from fastws.errors import HandshakeError
from fastws.wire.handshake import UpgradeRequest
from fastws.wire.prepared import PreparedMessage

class WebSocketProtocol(Endpoint):
    """A WebSocket as an ASGI app sees it: the class for uvicorn's ``--ws``."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None: ...
    def begin(self, request: UpgradeRequest, early: bytes) -> None:
        """Starts the app for a request; `early` are the bytes that came right after it."""
    def refuse(self, error: HandshakeError) -> None:
        """Answers with an HTTP error and closes TCP, so that no proxy takes it for a tunnel."""
    def receive_many(self) -> Awaitable[list[tuple[int, str | bytes]]]:
        """Receives all messages that wait, at least one.

        Returns:
            An awaitable of a list of (opcode, payload) pairs. It raises `ClientDisconnected`
            once the connection is over and everything is received.
        """
    def send_prepared(self, message: PreparedMessage) -> bool:
        """Sends a message that others get, too, without waiting.

        Returns:
            False if the connection is over, or ends now because its peer is `max_unsent` behind.
        """
    def shutdown(self) -> None:
        """Called by uvicorn when the server shuts down."""
