from asyncio import AbstractEventLoop
from typing import Any

import uvicorn

from fastws.errors import HandshakeError
from fastws.server.exchange import Exchange
from fastws.wire.handshake import UpgradeRequest

def restarting() -> HandshakeError:
    """Gives what an upgrade gets from a server that drains: another one may have room."""

class WebSocketProtocol(Exchange):
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
    def shutdown(self) -> None:
        """Called by uvicorn when the server shuts down."""
    def drain(self, window: float) -> bool:
        """Ends what there is, a WebSocket within so many seconds; tells whether it does."""
