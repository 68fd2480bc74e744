from asyncio import AbstractEventLoop, Protocol
from typing import Any

import uvicorn

class HttpProtocol(Protocol):
    """The straight way to a WebSocket: the class for uvicorn's ``--http``."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None: ...
    def shutdown(self) -> None:
        """Called by uvicorn when the server shuts down."""
    def on_deadline(self) -> None:
        """Called when nothing has come for too long."""
